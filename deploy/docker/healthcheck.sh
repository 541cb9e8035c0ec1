#!/bin/bash
# A container's health check: asks 127.0.0.1 on KTRDR_PORT (8000) for KTRDR_HEALTH_PATH (/api/v1/health). Prints the answer; the
# exit status is 0 if that is a 200. In bash alone: it runs every few seconds, and a start of Python costs ten times as much.
port=${KTRDR_PORT:-8000} path=${KTRDR_HEALTH_PATH:-/api/v1/health}
if [[ ! $port =~ ^[0-9]+$ ]]; then
    echo "KTRDR_PORT is not a port number: $port"
    exit 1
fi
if ! { exec 3<> "/dev/tcp/127.0.0.1/$port"; } 2> /dev/null; then
    echo "no answer from 127.0.0.1:$port$path"
    exit 1
fi
printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$path" >&3
# After 3 s without a line the answer counts as it is: none.
if ! read -r -t 3 _ status _ <&3; then
    echo "no answer from 127.0.0.1:$port$path"
    exit 1
fi
# The body follows the empty line; its last line has no end.
while read -r -t 3 line <&3 && [ "$line" != $'\r' ]; do :; done
body=
while read -r -t 3 line <&3 || [ -n "$line" ]; do body+=$line; done
echo "$status ${body:0:2000}"
[ "$status" = 200 ]
