"""The state of a host's groups when a plan was made, kept in the plan so that a later run can name what changed.

Only what the fingerprint covers is kept: no threads, no owners.
"""

from typing import Any

from cachetune.cbm import Bandwidth, Masks
from cachetune.host.model import Group, Host
from cachetune.host.resctrl.assignments import Assigned, format_assignments
from cachetune.host.resctrl.assignments import parse as parse_assignments
from cachetune.host.resctrl.schemata import parse


class GroupState:
    """One group. Its text, which is its JSON form, is like ``L3:0=7ff;1=7ff MB:0=100 shareable cpus 0-71``.

    Where counters are assigned, ``counters mbm_total_bytes:0=e;1=_`` and its other events follow. ``other`` are the
    schemata lines that cachetune does not know.
    """

    __slots__ = ("assignments", "bandwidth", "cpus", "masks", "mode", "other")

    def __init__(
        self,
        masks: Masks,
        bandwidth: Bandwidth,
        other: str = "",
        mode: str = "",
        cpus: str = "",
        assignments: Assigned | None = None,
    ) -> None:
        self.masks, self.bandwidth, self.other, self.mode, self.cpus = masks, bandwidth, other, mode, cpus
        self.assignments = assignments or {}

    @classmethod
    def of(cls, group: Group) -> "GroupState":
        """The state of a group."""
        other = " ".join(group.other_lines) if group.other_lines else ""
        return cls(group.masks, group.bandwidth, other, group.mode, group.cpus, group.assignments)

    def to_json(self) -> str:
        """The state in words."""
        words = [
            f"{name}:" + ";".join([f"{i}={mask:x}" for i, mask in row.items()]) for name, row in self.masks.items()
        ]
        words += [f"{name}:" + ";".join([f"{i}={n}" for i, n in row.items()]) for name, row in self.bandwidth.items()]
        words += [self.other, self.mode, self.cpus and f"cpus {self.cpus}"]
        words += ["counters", format_assignments(self.assignments)] if self.assignments else []
        return " ".join(filter(None, words))

    @classmethod
    def from_json(cls, value: object) -> "GroupState":
        """The state in such words; any text is accepted, and what is not recognized counts as ``other``."""
        if not isinstance(value, str):
            raise ValueError(f"expected a string, got {value!r}")  # noqa: TRY004 - what decoders expect
        rest, word, text = value.rpartition(" counters ")
        assigned = parse_assignments(text if word else "")
        if not word or format_assignments(assigned.assigned) != text:
            rest, assigned = value, parse_assignments("")
        words = rest.split(" ")
        cpus = words.pop() if words[-2:-1] == ["cpus"] else ""
        if cpus:
            words.pop()
        mode = words.pop() if words else ""
        found = parse("\n".join(words))
        return cls(found.masks, found.bandwidth, " ".join(found.other_lines), mode, cpus, assigned.assigned)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of ``to_json``."""
        return {"type": "string"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GroupState) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __str__(self) -> str:
        return self.to_json()

    def __repr__(self) -> str:
        return f"GroupState({self.to_json()!r})"


def group_states(host: Host) -> dict[str, GroupState]:
    """The state of every group, by path."""
    return {group.path: GroupState.of(group) for group in host.groups}
