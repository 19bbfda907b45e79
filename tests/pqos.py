"""Debian's pqos on a mounted simulation, which it takes for its own machine.

pqos expects resctrl at its usual place and reads the machine's CPUs from sysfs. Both are put there in a separate mount
namespace, so any profile works on any machine. pqos takes the mount options of any resctrl for those of this one, so
the mounts of other tests are removed there.
"""

import os
import shutil
from pathlib import Path

from tests import waiting
from tests.missing import skip_without

_AT_ITS_PLACE = """
set -e
awk -v own="$2" '$1 ~ /^resctrl/ && $2 != own { print $2 }' /proc/mounts |
    while read -r other; do umount -l "$other"; done
mount --bind "$1" /sys/devices/system/cpu
mount -t tmpfs tmpfs /sys/fs; mkdir /sys/fs/resctrl; mount --bind "$2" /sys/fs/resctrl
{ cat /proc/filesystems; printf 'nodev\\tresctrl\\n'; } >"$3"; mount --bind "$3" /proc/filesystems
shift 3
exec "$@"
"""


def need_pqos() -> None:
    """Skip where pqos or the right to mount is missing; in CI that is a failure."""
    missing = "pqos (Debian's intel-cmt-cat)" if shutil.which("pqos") is None else "root" if os.geteuid() else ""
    if missing:
        skip_without(f"{missing} is missing")


def pqos_sees(command: list[str], root: Path, sysfs: Path) -> str:
    """Run a command for which the mount ``root`` and ``sysfs`` are the machine; return what it prints.

    ``sysfs`` gets the files that pqos reads besides the caches.
    """
    cpus = sysfs / "devices/system/cpu"
    _add_topology(cpus)
    places = [str(cpus), str(root), str(root.with_name(f"{root.name}.filesystems"))]
    words = ["/usr/bin/unshare", "-m", "/bin/sh", "-c", _AT_ITS_PLACE, "sh", *places, *command]
    done = waiting.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _add_topology(cpus: Path) -> None:
    online = (cpus / "online").read_text()
    for name in ("possible", "present"):
        (cpus / name).write_text(online)
    for cpu in cpus.glob("cpu[0-9]*"):
        topology = cpu / "topology"
        topology.mkdir(exist_ok=True)
        ids = {(index / "level").read_text().strip(): (index / "id").read_text() for index in cpu.glob("cache/index*")}
        (topology / "core_id").write_text(ids.get("1", f"{cpu.name[3:]}\n"))
        (topology / "physical_package_id").write_text(ids.get("3", "0\n"))
