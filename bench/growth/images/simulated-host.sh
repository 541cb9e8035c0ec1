#!/bin/sh
# A simulated host is its sshd, on a port of its own of the machine's loopback. SIMULATED_NAME, SIMULATED_PORT, SIMULATED_KEY.
set -eu
mkdir -p /run/sshd ~/.ssh
chmod 700 ~/.ssh
echo "$SIMULATED_KEY" > ~/.ssh/authorized_keys
rm -f /run/docker.sock
python3 /usr/local/lib/simulated_engine.py /run/engine.sock /run/docker.sock "$SIMULATED_NAME" &
# Whoever finds sshd finds the engine too.
for _ in $(seq 200); do
    [ ! -S /run/docker.sock ] || exec /usr/sbin/sshd -D -e -p "$SIMULATED_PORT" -o ListenAddress=127.0.0.1
    sleep 0.1
done
echo "The engine's socket did not appear." >&2
exit 1
