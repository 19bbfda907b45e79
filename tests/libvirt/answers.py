"""One answer to a case, libvirt's or ours: the groups that the guest gets, or why it gets none.

Groups are named as for the guest "g" that is number 1, threads are identified by their vCPU, and masks and bandwidth
are values. The answers of each libvirt are in tests/golden/libvirt.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from cachetune.host.model import Group, Host

GOLDEN = Path(__file__).parents[1] / "golden" / "libvirt"
GUEST = "g"
MACHINE = f"qemu-1-{GUEST}"
_NAME = re.compile(rf"qemu-[0-9]+-{GUEST}\b")


class Placed(msgspec.Struct, frozen=True, omit_defaults=True):
    """One of the guest's groups: a control group's masks (hexadecimal) and bandwidth, the vCPUs in it."""

    vcpus: tuple[int, ...] = ()
    masks: dict[str, dict[int, str]] = {}
    bandwidth: dict[str, dict[int, int]] = {}


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``refused`` is what libvirt says, or our rules; ``left`` are groups that exist after the guest has ended."""

    groups: dict[str, Placed] = {}
    refused: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def file_of(version: str) -> Path:
    """Where the answers of a libvirt are kept: of 9.0.x in 9.0.json."""
    return GOLDEN / f"{'.'.join(version.split('.')[:2])}.json"


def load(version: str) -> dict[str, Answer]:
    """The recorded answers by the case's key."""
    return msgspec.json.decode(file_of(version).read_bytes(), type=dict[str, Answer])


def save(version: str, answers: Mapping[str, Answer]) -> None:
    """Record the answers, one a line."""
    encode = msgspec.json.encode
    lines = [f"{encode(key).decode()}: {encode(answer).decode()}" for key, answer in answers.items()]
    GOLDEN.mkdir(exist_ok=True)
    file_of(version).write_text("{\n" + ",\n".join(lines) + "\n}\n")


def placed(before: Host, after: Host, vcpus: Mapping[int, int]) -> dict[str, Placed]:
    """The groups that are in ``after`` only; ``vcpus`` are the tids of the vCPUs' threads."""
    return {named(g.path): _placed(g, vcpus) for g in after.groups if before.group(g.path) is None}


def named(text: str) -> str:
    """Any text with the guest's machine name made "qemu-1-g"."""
    return _NAME.sub(MACHINE, text)


def _placed(group: Group, vcpus: Mapping[int, int]) -> Placed:
    return Placed(
        vcpus=tuple(sorted(vcpu for vcpu, tid in vcpus.items() if tid in group.tids)),
        masks={name: {i: f"{mask:x}" for i, mask in of.items()} for name, of in group.masks.items()},
        bandwidth={name: dict(of) for name, of in group.bandwidth.items()},
    )
