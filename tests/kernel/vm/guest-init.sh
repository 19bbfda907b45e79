#!/bin/busybox sh
# The first program of the guest: load modules, mount the host's files and resctrl, run the job, report its status.
# /job holds what the runner wants: script, resctrl (mount options; empty: do not mount), shares, or symbols.
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
    [ -e /sys/class/virtio-ports/vport1p3 ] || [ -e /sys/class/virtio-ports/vport0p3 ] && break
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

# The host's files, read-only, below a layer in memory that takes every write.
nine=trans=virtio,version=9p2000.L,msize=262144
mount -t 9p -o "$nine,ro,cache=loose" host /host || stop failed "to mount the host's files"
mount -t tmpfs -o mode=0755 ram /ram
mkdir /ram/upper /ram/work
mount -t overlay -o lowerdir=/host,upperdir=/ram/upper,workdir=/ram/work overlay /new || stop failed "to mount the overlay"
mkdir -p /new/proc /new/sys /new/dev
while IFS=' ' read -r tag path; do
    mkdir -p "/new$path"
    mount -t 9p -o "$nine,rw,cache=mmap" "$tag" "/new$path" || stop failed "to share $path"
done </job/shares

if [ -s /job/resctrl ]; then
    options=$(cat /job/resctrl)
    mount -t resctrl -o "$options" resctrl /sys/fs/resctrl || stop failed "to mount resctrl with $options"
fi
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
mkdir -p /new/dev/shm /new/dev/pts /new/run
mount -t tmpfs -o mode=1777 shm /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tmpfs -o mode=0755 run /new/run
ln -s /proc/self/fd /new/dev/fd
ln -s /proc/self/fd/0 /new/dev/stdin
ln -s /proc/self/fd/1 /new/dev/stdout
ln -s /proc/self/fd/2 /new/dev/stderr
# The command may write "mark NAME" here; the runner then keeps the registers of that moment.
ln -s "$(readlink /job/port-control)" /new/dev/kernelvm
# The links to the ports were made before the move and name /dev of this root.
mount --bind /new/dev /dev
mount --bind /new/proc /proc
chroot /new /bin/sh -c "$(cat /job/script)" </dev/null >/job/port-out 2>/job/port-err
status=$?
sync
stop exit $status
