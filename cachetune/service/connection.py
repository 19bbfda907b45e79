"""The place of a real host: a mounted resctrl, real threads, and this machine's own files."""

from pathlib import Path

from cachetune.apply.guard import refused
from cachetune.apply.run import Connection
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.host.sysfs import sizes_for


def connect(resctrl: Path, run: Path, sysfs: Path, proc: Path, lock_timeout: float) -> Connection:
    """A place with real files. Raises ApplyRefusedError for a copy of a tree: only a mounted resctrl is written to."""
    fs = SysfsResctrl(resctrl)
    if not fs.is_live:
        raise refused("CT502", root=resctrl)
    return Connection(fs, run, sizes_for(fs, sysfs), proc, lock_timeout)
