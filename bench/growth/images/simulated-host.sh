#!/bin/sh
# A simulated host is its sshd, on a port of its own of the machine's loopback. SIMULATED_NAME, SIMULATED_PORT, SIMULATED_KEY.
set -eu
echo "simulated-engine-of-$SIMULATED_NAME" > /etc/simulated-engine-id
mkdir -p /run/sshd /root/.ssh
chmod 700 /root/.ssh
echo "$SIMULATED_KEY" > /root/.ssh/authorized_keys
exec /usr/sbin/sshd -D -e -p "$SIMULATED_PORT" -o ListenAddress=127.0.0.1
