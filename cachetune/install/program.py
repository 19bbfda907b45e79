"""Where the program is, and whether the units and the hook can start it from there."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from cachetune.errors import InputError

_NAME, _HOOK = "cachetune", "cachetune-hook"
# What the services do not see, and the setting of systemd that hides it.
_HIDDEN = {
    "/home": "ProtectHome=yes",
    "/root": "ProtectHome=yes",
    "/run/user": "ProtectHome=yes",
    "/tmp": "PrivateTmp=yes",  # noqa: S108 - not a file of ours
    "/var/tmp": "PrivateTmp=yes",  # noqa: S108
}
# Where AppArmor's profile of libvirtd lets it start programs.
_OPEN_TO_LIBVIRT = {"/bin", "/sbin", "/usr/bin", "/usr/sbin"}
_OUTSIDE = "install cachetune outside, such as with '/usr/bin/python3 -m venv /opt/cachetune', or pass --program PATH"
_OTHERS_MAY_WRITE = 0o022


class Program(msgspec.Struct, frozen=True):
    """The ``path`` of cachetune and the command of its ``hook``, as the host sees them.

    ``files`` are the paths that starting it needs: itself, what it links to, and its interpreter. ``is_this`` means
    that it is the program that runs now.
    """

    path: str
    hook: tuple[str, ...]
    files: tuple[str, ...]
    is_this: bool = False


NO_PROGRAM = Program("", (), ())


def find_program(given: Path | None, root: Path) -> Program:
    """Find the program in the file system below ``root``: the one that is ``given``, or the one that runs now.

    In a root other than / it may be missing: a package or an image can get it later. Raises InputError.
    """
    path = PurePosixPath(os.path.abspath(given)) if given else _below(_running(), root)  # noqa: PTH100 - links stay
    if not re.fullmatch(r"[\w@%+=:,./ -]+", str(path)):
        raise InputError(f"systemd cannot start {str(path)!r}: quotes, $ and control characters are not possible")
    if not given and not (root / path.relative_to("/")).exists():
        root = Path("/")  # it runs, but is not below the prefix
    here = root / path.relative_to("/")
    if root == Path("/") and not _is_executable(here):
        raise InputError(f"there is no program {path}", hint="pass --program with the path of cachetune")
    hook = _hook_beside(here, root)
    files = (str(path), *_needed_by(here, root), *(() if given else (str(Path(__file__).resolve()),)))
    return Program(str(path), _hook_command(hook, path, root), tuple(dict.fromkeys(files)), is_this=not given)


def check_visible(program: Program, unit: str) -> None:
    """Check that a unit sees the program's files, which systemd hides in home directories. Raises InputError."""
    for file in program.files:
        for directory, setting in _HIDDEN.items():
            if any(Path(file).is_relative_to(each) for each in (directory, os.path.realpath(directory))):
                what = program.path if file == program.path else f"{program.path}, which needs {file}"
                raise InputError(f"{unit} cannot start {what}: {setting} hides {directory}", hint=_OUTSIDE)


def check_hook(program: Program, root: Path) -> None:
    """Check that the program of the hook exists, unless it may come later. Raises InputError."""
    script = program.hook[-1]
    if root == Path("/") and not Path(script).exists():
        raise InputError(f"there is no program {script}", hint="the wheel installs it beside cachetune; reinstall it")


def open_to_others(program: Program) -> str:
    """The first file of the program that users other than root can change, "" without one."""
    for file in program.files:
        for path in (Path(file), Path(file).parent):
            try:
                status = path.stat()
            except OSError:
                continue
            if status.st_uid or status.st_mode & _OTHERS_MAY_WRITE:
                return str(path)
    return ""


def systemd_quoted(path: str) -> str:
    """The path as ExecStart= takes it."""
    escaped = path.replace("%", "%%")
    return f'"{escaped}"' if " " in escaped else escaped


def _running() -> Path:
    """The path of the program that runs now, with links as they are. Raises InputError."""
    for path in (Path(sys.argv[0]), Path(sys.executable).with_name(_NAME)):
        if path.name == _NAME and _is_executable(path):
            return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow the link of pipx
    raise InputError("cannot find the program cachetune beside the interpreter", hint="pass --program PATH")


def _below(path: Path, root: Path) -> PurePosixPath:
    """The path as a host with this root sees it."""
    return PurePosixPath("/") / path.relative_to(root) if path.is_relative_to(root) else PurePosixPath(path)


def _hook_beside(program: Path, root: Path) -> Path:
    """The hook's program: beside the link, or beside what it links to."""
    beside = program.with_name(_HOOK)
    behind = program.resolve().with_name(_HOOK)
    return behind if not beside.exists() and behind.exists() and behind.is_relative_to(root) else beside


def _hook_command(hook: Path, program: PurePosixPath, root: Path) -> tuple[str, ...]:
    """The words that start the hook.

    AppArmor's profile of libvirtd denies it to start a script outside of /usr/bin, such as in a virtual environment,
    but not to start the interpreter, which is in /usr/bin once links are followed.
    """
    path = str(_below(hook, root)) if hook.is_relative_to(root) else str(program.with_name(_HOOK))
    interpreter = _interpreter(hook)
    if not interpreter or str(hook.resolve().parent) in _OPEN_TO_LIBVIRT:
        return (path,)
    return (interpreter, path)


def _needed_by(program: Path, root: Path) -> Iterator[str]:
    """What the program links to, and its interpreter, as the host sees them."""
    if not program.exists():
        return
    yield str(_below(program.resolve(), root))
    if interpreter := _interpreter(program):
        yield from (interpreter, os.path.realpath(interpreter))


def _interpreter(script: Path) -> str:
    """The interpreter of a script, if its first line has nothing else; "" if it is missing or there is no script.

    pip writes a path with spaces as it is. A file of that name exists then.
    """
    try:
        with script.open("rb") as file:
            first = file.readline(4096)
    except OSError:
        return ""
    path = os.fsdecode(first.removeprefix(b"#!").strip()) if first.startswith(b"#!") else ""
    return path if path.startswith("/") and _is_executable(Path(path)) else ""


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
