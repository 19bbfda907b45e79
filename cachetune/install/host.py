"""The commands that make a host's systemd and libvirt notice changed files, derived from their own files."""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from cachetune.install.model import FileChange
from cachetune.install.parts import MOUNT_UNIT, UNIT_DIR
from cachetune.install.target import below

# Where packages have units; systemd prefers those in /etc.
PACKAGED_UNITS = (PurePosixPath("/usr/local/lib/systemd/system"), PurePosixPath("/usr/lib/systemd/system"))
_LIBVIRT = ("virtqemud.service", "libvirtd.service")
_NEW = ("create", "replace")


def after_install(changes: Sequence[FileChange], root: Path) -> tuple[str, ...]:
    """The commands to run after an installation."""
    return tuple(_after_install(changes, root))


def _after_install(changes: Sequence[FileChange], root: Path) -> Iterator[str]:
    units = {_name(each): each.action for each in changes if each.path.endswith((".service", ".mount"))}
    written = {name for name, action in units.items() if action in (*_NEW, "update")}
    if written:
        yield "systemctl daemon-reload"
    on = {name for name in units if enabled_by(name, root)}
    # The mount first: the services need it.
    off = sorted(units.keys() - on, key=lambda name: (name != MOUNT_UNIT, name))
    if off:
        yield f"systemctl enable --now {' '.join(off)}"
    # A restart of the mount would remove all groups.
    if again := sorted((written & on) - {MOUNT_UNIT}):
        yield f"systemctl try-restart {' '.join(again)}"
    if any(each.part == "hook" and each.action in _NEW for each in changes):
        # libvirt looks for new hooks only when its daemon starts.
        yield f"systemctl restart {_libvirt_daemon(root)}"


def after_uninstall(changes: Sequence[FileChange]) -> tuple[str, ...]:
    """The commands to run after files were removed."""
    units = [_name(each) for each in changes if each.action == "remove" and each.path.endswith((".service", ".mount"))]
    services = [name for name in units if name.endswith(".service")]
    stop = (f"systemctl stop {' '.join(services)}",) if services else ()
    return (*stop, "systemctl daemon-reload") if units else ()


def disable(unit: str) -> str:
    """The command that disables a unit; the mount stays as it is, because unmounting removes all groups."""
    return f"systemctl disable {unit}" if unit == MOUNT_UNIT else f"systemctl disable --now {unit}"


def enabled_by(unit: str, root: Path) -> str:
    """The link that has a unit started at boot, "" without one."""
    directory = below(root, UNIT_DIR)
    for kind in ("wants", "requires"):
        for link in (each / unit for each in sorted(directory.glob(f"*.{kind}"))):
            if os.path.lexists(link):
                return str(link)
    return ""


def link_that_needs(unit: str, root: Path) -> str:
    """The link that would lead nowhere without the unit in /etc; a package may have another one of this name."""
    is_packaged = any(below(root, directory / unit).exists() for directory in PACKAGED_UNITS)
    return "" if is_packaged else enabled_by(unit, root)


def mounts_resctrl(root: Path) -> bool:
    """Whether a unit or /etc/fstab has resctrl mounted at boot."""
    directories = (UNIT_DIR, PurePosixPath("/run/systemd/system"), *PACKAGED_UNITS)
    if any(below(root, each / MOUNT_UNIT).exists() for each in directories):
        return True
    try:
        text = (root / "etc/fstab").read_text(errors="replace")
    except OSError:
        return False
    return bool(re.search(r"^\s*[^#\s]\S*\s+\S+\s+resctrl\s", text, re.MULTILINE))


def _libvirt_daemon(root: Path) -> str:
    """The daemon that runs QEMU: the modular one if it is enabled, else the classical one."""
    return next((unit for unit in _LIBVIRT if enabled_by(unit, root)), _LIBVIRT[-1]).removesuffix(".service")


def _name(change: FileChange) -> str:
    return change.path.rpartition("/")[2]
