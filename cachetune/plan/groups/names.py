"""Names of groups: libvirt's machine name and the directories made from it."""

import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from cachetune.domain.model import Domain
from cachetune.domain.threads import threads_of_id
from cachetune.errors import MachineNameError

_RESERVED = {"info", "mon_groups", "mon_data", "tasks", "cpus", "cpus_list", "mode", "schemata", "size"}
_LONGEST = 64


def machine_name(name: str, libvirt_id: int | None = None) -> str:
    """The prefix of a guest's group names: ``qemu-ID-name`` for a guest that libvirt runs, else ``cachetune-name``.

    Keeps only ASCII letters, digits, '-' and '.', drops '-' and '.' at the ends and after one another, and cuts at 64
    characters. Source: libvirt's machine names (qemu-1-my_vm becomes qemu-1-myvm). Raises MachineNameError if
    nothing is left of the name.
    """
    if libvirt_id is not None:
        return _filter(f"qemu-{libvirt_id}-{name}")
    machine = _filter(f"cachetune-{name}")
    if machine == "cachetune":
        raise MachineNameError(name, "has no characters for a group name", hint="pass --machine-name NAME")
    return machine


def machine_name_of(domain: Domain) -> str:
    """The machine name of a domain: with its number if the XML is live. Raises MachineNameError."""
    return machine_name(domain.name, domain.id)


def checked_machine_name(name: str) -> str:
    """The name itself if it can be a machine name. Raises MachineNameError."""
    if name != _filter(name) or not name or name in _RESERVED:
        raise MachineNameError(
            name,
            "cannot be used as a machine name",
            hint="use at most 64 letters, digits, '-' and '.', the last two neither at the ends nor next to each other",
        )
    return name


def is_libvirts_name(machine: str, name: str) -> bool:
    """Whether libvirt gives this machine name to the guest of this name, and to no other guest."""
    number = re.match(r"qemu-([0-9]+)-", machine, re.ASCII)
    return number is not None and machine == _filter(f"qemu-{number[1]}-{name}")


def belongs_to(path: str, machine: str) -> bool:
    """Whether the last part of the path is a name that we give to groups of the machine (default ids only)."""
    name = path.rpartition("/")[2]
    return name == machine or (name.startswith(f"{machine}-") and scope_of(path).machine == machine)


class Scope(NamedTuple):
    """What the name of a group says: the machine, and whom of it the group is for (neither: the whole process)."""

    machine: str
    vcpus: str | None = None
    threads: str | None = None


def scope_of(path: str) -> Scope:
    """What the last part of the path says, as far as it is a name that we or libvirt give by default.

    Only these ids have an underscore, which a machine name cannot have: no name can be read in two ways.
    """
    name = path.rpartition("/")[2]
    match = re.fullmatch(r"(.+)-(?:vcpus_([0-9,-]+)|(threads_.+))", name, re.ASCII | re.DOTALL)
    threads = threads_of_id(match[3]) if match and match[3] else None
    if match is None or (match[3] and threads is None):
        return Scope(name)
    return Scope(match[1], match[2], str(threads) if threads else None)


def machine_names(name: str, libvirt_id: int | None) -> Iterator[str]:
    """The prefixes that the names of a guest's groups can have: cachetune's, and libvirt's if libvirt runs it."""
    for number in {None, libvirt_id}:
        with contextlib.suppress(MachineNameError):
            yield machine_name(name, number)


def guest_in(machine: str) -> str:
    """What a machine name has kept of the guest's name: web of cachetune-web, qemu-7-web and qemu-root-7-web."""
    driver = r"(?:cachetune-|(?:qemu|lxc|ch)-(?:[0-9]+|[^/]+?-[0-9]+)-)(?=.)"
    return re.sub(f"^{driver}", "", machine, count=1, flags=re.ASCII | re.DOTALL)


def machine_of(path: str, machines: Iterable[str]) -> str:
    """The longest of the machine names that the group's name begins with; "" if it begins with none of them."""
    name = path.rpartition("/")[2]
    return max((m for m in machines if name == m or name.startswith(f"{m}-")), key=len, default="")


def _filter(text: str) -> str:
    kept = ""
    for char in text:
        if char in "-." and (not kept or kept[-1] in "-."):
            continue
        if char.isascii() and (char.isalnum() or char in "-."):
            kept += char
        if len(kept) == _LONGEST:
            break
    return kept.rstrip("-.")
