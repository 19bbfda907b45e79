"""The first process of the private host: sets up its mounts, says "ready", and reaps until its standard input ends.

Started as root in new mount, PID, IPC, UTS and network namespaces, with /proc mounted for them. Standard library only,
and ``tests.namespaces``.

    inside.py STAGE NAME [PACKAGES]

STAGE is a directory that the caller made and that is removed here at the end: ``sys`` is the sysfs tree to show,
``files`` what is laid over /etc, /run and /var. NAME is the host's name. PACKAGES is a directory with unpacked Debian
packages that are there instead of the installed ones. Everything mounted here goes with the namespace.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.namespaces import mount, own_dev

EMPTY = ("/run", "/var/lib", "/var/log", "/var/cache")
USERS = ("libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin", "libvirt-dnsmasq:x:64056:64056::/:/usr/sbin/nologin")
GROUPS = ("kvm:x:64057:", "libvirt:x:64058:", "libvirt-qemu:x:64055:", "libvirt-dnsmasq:x:64056:")


def main(stage: Path, name: str, packages: Path | None = None) -> None:
    """Set up, then wait for the end."""
    socket.sethostname(name)
    if packages:
        lay_over(packages)
    own_etc(stage)
    for directory in EMPTY:
        mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", directory)
    own_sys(stage)
    libvirts_dev(stage)
    hide_other_emulators()
    shutil.copytree(stage / "files", "/", dirs_exist_ok=True)
    os.sync()
    # a dead QEMU must not stay a zombie, or libvirt never sees its end
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    detach(str(stage))
    shutil.rmtree(stage)


def lay_over(packages: Path) -> None:
    """The programs of other packages; a QEMU that finds another QEMU's modules beside its own dies of it."""
    mount("-t", "overlay", "-o", f"lowerdir={packages}/usr:/usr", "overlay", "/usr")
    for modules in packages.glob("usr/lib/*/qemu"):
        mount("--bind", modules, Path("/", modules.relative_to(packages)))


def own_etc(stage: Path) -> None:
    """/etc as it is, to be written in; with the users that libvirt's other packages would have made."""
    copy = stage / "etc"
    copy.mkdir()
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", copy)
    shutil.copytree("/etc", copy, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(copy / "libvirt", ignore_errors=True)
    (copy / "libvirt").mkdir()
    for name, lines in (("passwd", USERS), ("group", GROUPS)):
        there = (copy / name).read_text().splitlines()
        taken = {line.split(":")[0] for line in there}
        (copy / name).write_text("\n".join([*there, *(s for s in lines if s.split(":")[0] not in taken)]) + "\n")
    mount("--rbind", copy, "/etc")


def own_sys(stage: Path) -> None:
    """The processors of the profile, room for /sys/fs/resctrl, and no cgroups."""
    mount("--bind", stage / "sys/devices/system", "/sys/devices/system")
    detach("/sys/fs")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/sys/fs")
    Path("/sys/fs/resctrl").mkdir()


def libvirts_dev(stage: Path) -> None:
    """/dev with /dev/kvm: libvirt checks that it exists, and no program opens it."""
    dev = stage / "dev"
    dev.mkdir()
    own_dev(dev)
    (dev / "kvm").touch(0o666)
    detach("/dev")  # libvirt would look for huge pages below it
    mount("--rbind", dev, "/dev")


def hide_other_emulators() -> None:
    """libvirt would ask each of them again, whether it has KVM, at every start of a guest."""
    for program in Path("/usr/bin").glob("qemu-system-*"):
        if program.name != "qemu-system-x86_64" and not program.is_symlink():
            mount("--bind", "/dev/null", program)


def detach(directory: str) -> None:
    """Unmount everything below the directory, and itself if something is mounted there."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    source_options = [line.split(" ")[4] for line in lines]
    for place in reversed([place for place in source_options if f"{place}/".startswith(f"{directory}/")]):
        subprocess.run(["/bin/umount", "-l", place], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(Path, sys.argv[3:]))
