#!/bin/sh
# Serve one connection on the port "ssh" of the machine. sshd writes its name first, which waits until someone connects.
for port in /sys/class/virtio-ports/*; do
    if [ "$(cat "$port/name")" = ssh ]; then
        exec /usr/sbin/sshd -i -o LoginGraceTime=0 -o UsePAM=no -o PermitRootLogin=prohibit-password \
            <>"/dev/${port##*/}" >&0
    fi
done
exit 1
