#!/bin/busybox sh
# One job: mount the host's files to be written to, and resctrl; run the script; report its status. $1 is the directory
# of what the runner wants: script, resctrl (mount options; empty: do not mount), shares, now (seconds since 1970).
export PATH=/bin
report() { echo "$@" >/job/port-control; }
fail() { report failed "$@"; exit 1; }
date -s "@$(cat "$1/now")" >/dev/null

# The host's files, read-only, below a layer in memory that takes every write.
mount -t tmpfs -o mode=0755 ram /ram
mkdir /ram/upper /ram/work
mount -t overlay -o lowerdir=/host,upperdir=/ram/upper,workdir=/ram/work overlay /new || fail "to mount the overlay"
mkdir -p /new/proc /new/sys /new/dev
while IFS=' ' read -r tag path; do
    mkdir -p "/new$path"
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,rw,cache=mmap "$tag" "/new$path" || fail "to share $path"
done <"$1/shares"

mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t devtmpfs dev /new/dev
if [ -s "$1/resctrl" ]; then
    options=$(cat "$1/resctrl")
    # The job before has ended, but the kernel unmounts its resctrl a moment later.
    for _ in $(seq 50); do
        mounted=$(mount -t resctrl -o "$options" resctrl /new/sys/fs/resctrl 2>&1) && break
        case $mounted in *busy*) sleep 0.1 ;; *) break ;; esac
    done
    [ -e /new/sys/fs/resctrl/schemata ] || [ -e /new/sys/fs/resctrl/info ] || fail "to mount resctrl with $options: $mounted"
fi
mkdir -p /new/dev/shm /new/dev/pts /new/run
mount -t tmpfs -o mode=1777 shm /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tmpfs -o mode=0755 run /new/run
ln -sfn /proc/self/fd /new/dev/fd
ln -sf /proc/self/fd/0 /new/dev/stdin
ln -sf /proc/self/fd/1 /new/dev/stdout
ln -sf /proc/self/fd/2 /new/dev/stderr
# The command may write "mark NAME" here; the runner then keeps the registers of that moment.
ln -sf "$(readlink /job/port-control)" /new/dev/kernelvm
chroot /new /bin/sh -c "$(cat "$1/script")" </dev/null >/job/port-out 2>/job/port-err
status=$?
sync
report exit $status
