"""The installed hook and systemd units, the mount at boot, permissions, and denials of security modules."""

import os
import re
import shlex
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from cachetune.doctor.collect.reading import is_there, names_in, read_text, unreadable
from cachetune.doctor.examination import Denials, Installed, LoosePath, Unknown
from cachetune.hook import Call
from cachetune.hook.hints import OPTIONS_FILE

HOOK_PROGRAM = "cachetune-hook"
MOUNT_UNIT = "sys-fs-resctrl.mount"
_UNIT = re.compile(r"cachetune[\w.@-]*\.service|" + re.escape(MOUNT_UNIT), re.ASCII)
# Where systemd and libvirt look for programs that are named without a directory.
_PATH = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
_UNITS = ("etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
_EXEC_START = re.compile(r"^ExecStart=[-@:+!]*(.*)$", re.MULTILINE)
_HOOK_OPTIONS = re.compile(r"^HOOK_OPTIONS=(.*)$", re.MULTILINE)
_LOGS = ("audit/audit.log", "kern.log", "syslog", "messages")
_LOG_TAIL = 1 << 18
_DENIED = re.compile(r"avc:\s+denied|apparmor=\"DENIED\"")
_OURS = re.compile(r"resctrl|cachetune")
_MOST_LINES = 20
_OTHERS_MAY_WRITE = 0o022


def hooks_in(root: Path) -> tuple[Installed, ...] | Unknown:
    """Every hook of libvirt's QEMU driver that calls cachetune-hook."""
    directory = root / "etc/libvirt/hooks"
    names = names_in(directory / "qemu.d")
    if isinstance(names, Unknown):
        return names
    files = [directory / "qemu", *(directory / "qemu.d" / name for name in names)]
    return tuple(hook for file in files if (hook := _hook(file, root)))


def _hook(file: Path, root: Path) -> Installed | None:
    program, words = HOOK_PROGRAM if file.is_symlink() else "", list[str]()
    if file.is_symlink():
        program = str(file.readlink())
    elif not isinstance(text := read_text(file), Unknown):
        program, words = _call_in(text, root)
    if program.rpartition("/")[2] != HOOK_PROGRAM:
        return None
    refused = Call("", "").take(words)
    return Installed(str(file), program, _is_executable(file), _find(program, root), refused)


def _call_in(script: str, root: Path) -> tuple[str, list[str]]:
    """The program and the options of the line that calls the hook."""
    for line in script.splitlines():
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for at, word in enumerate(words):
            if word.rpartition("/")[2] == HOOK_PROGRAM:
                rest = words[at + 1 :]
                return word, _with_options(rest[: rest.index("$@")] if "$@" in rest else [], root)
    return "", []


def _with_options(words: list[str], root: Path) -> list[str]:
    """The words, with those of HOOK_OPTIONS in the file of options for the name."""
    text = read_text(root / OPTIONS_FILE.lstrip("/")) if "$HOOK_OPTIONS" in words else ""
    given = _HOOK_OPTIONS.findall("" if isinstance(text, Unknown) else text)
    try:
        value = " ".join(shlex.split(given[-1], comments=True)[:1]) if given else ""
    except ValueError:  # the shell does not take it, either
        value = ""
    return [part for word in words for part in (value.split() if word == "$HOOK_OPTIONS" else [word])]


def units_in(root: Path) -> tuple[Installed, ...] | Unknown:
    """The systemd units of cachetune, and the unit that mounts resctrl."""
    enabled = _enabled(root)
    found: dict[str, Path] = {}
    for directory in (root / name for name in _UNITS):
        names = names_in(directory)
        for name in [] if isinstance(names, Unknown) else names:
            if _UNIT.fullmatch(name):
                found.setdefault(name, directory / name)
    return tuple(_unit(path, name in enabled, root) for name, path in sorted(found.items()))


def _unit(path: Path, is_enabled: bool, root: Path) -> Installed:
    text = read_text(path)
    match = None if isinstance(text, Unknown) else _EXEC_START.search(text)
    program = _first_word(match[1]) if match else ""
    return Installed(str(path), program, is_enabled, _find(program, root) if program else "")


def _first_word(command: str) -> str:
    """The program of ExecStart=, whose path can be in quotes."""
    quoted = re.match(r'"([^"]*)"', command)
    return (quoted[1] if quoted else (command.split() or [""])[0]).replace("%%", "%")


def _enabled(root: Path) -> set[str]:
    """The names of units that are started at boot."""
    below = root / "etc/systemd/system"
    names = names_in(below)
    targets = [] if isinstance(names, Unknown) else [n for n in names if n.endswith((".wants", ".requires"))]
    listed = [names_in(below / target) for target in targets]
    return {name for each in listed if not isinstance(each, Unknown) for name in each}


def mounted_at_boot(root: Path, units: Collection[Installed] | Unknown) -> str | Unknown:
    """The file that has resctrl mounted at boot, "" without one."""
    fstab = read_text(root / "etc/fstab")
    lines = [] if isinstance(fstab, Unknown) else [line.split() for line in fstab.splitlines()]
    if any(len(line) > 2 and line[2] == "resctrl" and not line[0].startswith("#") for line in lines):
        return str(root / "etc/fstab")
    if isinstance(units, Unknown):
        return units
    mounts = [unit for unit in units if unit.file.endswith(MOUNT_UNIT)]
    # The unit of the agent requires the mount, and so starts it.
    needed = any(unit.is_active for unit in units)
    return mounts[0].file if mounts and needed else ""


def loose_paths(root: Path, run: Path, guests_d: Path) -> tuple[LoosePath, ...]:
    """Files and directories of cachetune that other users than root can change. Links are not followed."""
    trusted = {0, _owner_of(root)}
    paths = [run, *_entries(run), guests_d, *_entries(guests_d), root / OPTIONS_FILE.lstrip("/"), *_hook_files(root)]
    found = []
    for path in paths:
        try:
            status = path.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(status.st_mode):
            continue
        if status.st_uid not in trusted or (status.st_mode & _OTHERS_MAY_WRITE):
            found.append(LoosePath(str(path), stat.S_IMODE(status.st_mode), status.st_uid))
    return tuple(found)


def _owner_of(root: Path) -> int:
    """The owner of the root directory; that of an unpacked copy is the user who unpacked it."""
    try:
        return root.stat().st_uid
    except OSError:
        return 0


def _hook_files(root: Path) -> Iterator[Path]:
    hooks = hooks_in(root)
    for hook in () if isinstance(hooks, Unknown) else hooks:
        yield Path(hook.file)
        if hook.program_path:
            yield Path(hook.program_path)


def _entries(directory: Path) -> list[Path]:
    names = names_in(directory)
    return [] if isinstance(names, Unknown) else [directory / name for name in names]


def denials_in(root: Path, sysfs: Path) -> Denials | Unknown:
    """The denials in the last 256 KiB of each log that exists."""
    module = _security_module(sysfs)
    if not module:
        return Denials("", ())
    searched, lines, why = [], list[str](), Unknown(f"there are no logs in {root / 'var/log'}")
    for path in (root / "var/log" / name for name in _LOGS):
        tail = _tail(path)
        if isinstance(tail, Unknown):
            why = tail if tail.hint else why
            continue
        searched.append(str(path))
        lines += [line for line in tail.splitlines() if _DENIED.search(line) and _OURS.search(line)]
    return Denials(module, tuple(searched), tuple(lines[-_MOST_LINES:])) if searched else why


def _security_module(sysfs: Path) -> str:
    if is_there(sysfs / "fs/selinux/enforce"):
        return "SELinux"
    enabled = read_text(sysfs / "module/apparmor/parameters/enabled")
    return "AppArmor" if not isinstance(enabled, Unknown) and enabled.strip() == "Y" else ""


def _tail(path: Path) -> str | Unknown:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - _LOG_TAIL, 0))
            return file.read(_LOG_TAIL).decode("utf-8", "replace")
    except OSError as error:
        return unreadable(path, error)


def _find(program: str, root: Path) -> str:
    """Where the program is, "" if it is not executable there or nowhere."""
    places = [root / program.lstrip("/")] if "/" in program else [root / place / program for place in _PATH]
    return next((str(path) for path in places if _is_executable(path)), "")


def _is_executable(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and bool(status.st_mode & 0o111)
