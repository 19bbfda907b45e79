"""The programs that run guests, and what their arguments say about the guest: its name and its uuid.

Any user can start a process with any arguments, so all of this is a claim.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec

from cachetune.guests.proc.content import content_of

_NO_UUID = uuid.UUID(int=0)


class Identity(NamedTuple):
    """What a command line claims. ``name`` is "" and ``uuid`` None if it does not say."""

    name: str
    uuid: str | None


class _Program(NamedTuple):
    """A virtual machine monitor other than QEMU: its option ``name``, and where the ``uuid`` is: option and key."""

    executable: re.Pattern[str]
    name: str = ""
    uuid: tuple[str, str] | None = None


_QEMU = re.compile(r"qemu-system-.+|qemu-kvm|kvm|qemu")
# Sources: Firecracker's jailer passes --id; crosvm has --name since the end of 2024; Cloud Hypervisor has no name.
_OTHERS = (
    _Program(re.compile(r"cloud-hypervisor(-.+)?"), uuid=("platform", "uuid")),
    _Program(re.compile(r"firecracker(-.+)?"), name="id"),
    _Program(re.compile(r"crosvm"), name="name"),
)


def arguments_of(directory: Path) -> list[str]:
    """The command line of the process with this directory in /proc; [] for a kernel thread, and if it has ended."""
    try:
        return split_arguments(content_of(f"{directory}/cmdline"))
    except OSError:
        return []


def split_arguments(data: bytes) -> list[str]:
    """The arguments in the content of ``cmdline``."""
    text = data.decode("utf-8", "replace")
    return text.rstrip("\0").split("\0") if text else []


def is_qemu(arguments: Sequence[str]) -> bool:
    """Whether these arguments run QEMU, which is a guest whatever its threads are called."""
    return _QEMU.fullmatch(_executable(arguments)) is not None


def can_be_guest(arguments: Sequence[str]) -> bool:
    """Whether these arguments can be those of a guest, so that its threads are worth a look.

    crosvm runs each device in a process with the same arguments; only that with vCPU threads is the guest.
    """
    naming = {"-name", "--name", "-uuid", "--uuid"}
    return _other(arguments) is not None or not naming.isdisjoint(arguments)


def identity_of(arguments: Sequence[str]) -> Identity:
    """The name and uuid that a command line claims."""
    program = _other(arguments)
    if program is None:
        return Identity(_qemu_name(_after("name", arguments)), canonical_uuid(_after("uuid", arguments)))
    name = _value_of(program.name, arguments) if program.name else ""
    option, key = program.uuid or ("", "")
    parts = _value_of(option, arguments).split(",") if option else []
    known_as = [part.removeprefix(f"{key}=") for part in parts if part.startswith(f"{key}=")]
    return Identity(name, canonical_uuid(known_as[-1]) if known_as else None)


def guest_named_in(directory: Path) -> str:
    """The name of the guest that the process with this directory in /proc claims to run; "" if it claims none."""
    arguments = arguments_of(directory)
    return identity_of(arguments).name if can_be_guest(arguments) else ""


def iothreads_in(arguments: Sequence[str]) -> Iterator[str]:
    """The names of the iothreads that a QEMU has been started with; others can be added later."""
    for option, value in pairwise(arguments):
        if option in ("-object", "--object"):
            found = _object(value)
            if found.get("qom-type") == "iothread" and isinstance(name := found.get("id"), str):
                yield name


def canonical_uuid(text: str) -> str | None:
    """The uuid in libvirt's form (lower case, with hyphens); None if invalid, or all zeros (QEMU's "no uuid")."""
    try:
        value = uuid.UUID(text)
    except ValueError:
        return None
    return None if value == _NO_UUID else str(value)


def _other(arguments: Sequence[str]) -> _Program | None:
    name = _executable(arguments)
    return next((program for program in _OTHERS if program.executable.fullmatch(name)), None)


def _executable(arguments: Sequence[str]) -> str:
    return arguments[0].rpartition("/")[2] if arguments else ""


def _after(option: str, arguments: Sequence[str]) -> str:
    """The argument after the last ``-option`` (QEMU also accepts two hyphens)."""
    for at in range(len(arguments) - 2, 0, -1):
        if arguments[at] in (f"-{option}", f"--{option}"):
            return arguments[at + 1]
    return ""


def _object(text: str) -> dict[str, object]:
    """The properties of an object: ``iothread,id=NAME,…``, or JSON; {} if it is neither."""
    if text.startswith("{"):
        try:
            return msgspec.json.decode(text, type=dict[str, object])
        except (msgspec.DecodeError, RecursionError):  # nested without end
            return {}
    kind, _, rest = text.partition(",")
    properties = dict(part.partition("=")[::2] for part in rest.split(","))
    return {"qom-type": kind.removeprefix("qom-type="), **properties}


def _value_of(option: str, arguments: Sequence[str]) -> str:
    """The value of the last ``--option VALUE`` or ``--option=VALUE``."""
    for at in range(len(arguments) - 1, 0, -1):
        if arguments[at].startswith(f"--{option}="):
            return arguments[at].partition("=")[2]
        if arguments[at] == f"--{option}" and at + 1 < len(arguments):
            return arguments[at + 1]
    return ""


def _qemu_name(text: str) -> str:
    """The guest's name from QEMU's ``-name``: ``guest=NAME,…`` or ``NAME,…``, with commas in NAME doubled."""
    parts = [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]
    named = [part.removeprefix("guest=") for part in parts if part.startswith("guest=")]
    if named:
        return named[-1]
    return parts[0] if "=" not in parts[0] else ""
