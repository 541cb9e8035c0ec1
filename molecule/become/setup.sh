#!/bin/sh
# Users of the host: each connects over SSH with the key on standard input, and becomes root in a way of its own.
set -eu
key=$(cat)
for name in plain talker private by-sudo by-su by-doas; do
    useradd --create-home --shell /bin/bash "$name"
    echo "$key" | install -D -m 0600 -o "$name" -g "$name" /dev/stdin "/home/$name/.ssh/authorized_keys"
done
printf '%s\n' 'by-sudo:word of by-sudo' 'root:word of root' | chpasswd
printf '%s\n' 'by-sudo ALL=(ALL) ALL' 'talker ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/become
echo 'permit nopass by-doas' > /etc/doas.conf
# A shell that prints before each command and behind it, also where nobody types; some of that looks like an answer.
printf '%s\n' 'echo "{Welcome}"; echo "Mind the gap" >&2' "trap 'echo Bye; echo \"{}x\"' EXIT" > /home/talker/.bashrc
# A /tmp of its own for the user private, as pam_namespace makes it.
mkdir -m 000 /tmp-inst
echo '/tmp /tmp-inst/ user ~private' > /etc/security/namespace.conf
echo 'session required pam_namespace.so' >> /etc/pam.d/sshd
mkdir -p /run/sshd
/usr/sbin/sshd
