#!/bin/busybox sh
# The first program of the guest: load modules, mount the host's files, and run one job after the other, boot a root that is
# among these files, or print symbols.
export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in /mod/*.ko; do
    insmod "$module" || echo "guest-init: cannot load $module"
done

# The virtio-serial ports appear some time after their driver, later on a busy host; link them by name.
for _ in $(seq 600); do
    [ -e /sys/class/virtio-ports/vport1p4 ] || [ -e /sys/class/virtio-ports/vport0p4 ] && break
    sleep 0.1
done
for port in /sys/class/virtio-ports/*; do
    ln -s "/dev/${port##*/}" "/job/port-$(cat "$port/name")"
done
stop() { echo "$@" >/job/port-control; while :; do sleep 10; done; }
echo booted >/job/port-control

if [ -e /job/symbols ]; then
    grep -E " native_(cpuid|(read|write)_msr(_safe)?)$" /proc/kallsyms >/job/port-out
    stop exit 0
fi

mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,ro,cache=loose host /host || stop failed "to mount the host's files"

# The root, read-only, below a layer in memory that takes every write.
if [ -e /job/root ]; then
    mount -t tmpfs -o mode=0755 ram /ram
    mkdir /ram/upper /ram/work
    mount -t overlay -o "lowerdir=/host$(cat /job/root),upperdir=/ram/upper,workdir=/ram/work" overlay /new || stop failed "to mount the root"
    exec switch_root /new /lib/systemd/systemd
fi

# The first job is here, others are in directories of the host, which the runner names. The port for that stays open:
# QEMU does not notice by itself that one is opened. A job's mounts end with its processes.
exec 3</job/port-jobs
unshare -m /run-job /job 3<&-
while :; do
    kill -9 -1
    read -r directory <&3 && unshare -m /run-job "/host$directory" 3<&-
done
