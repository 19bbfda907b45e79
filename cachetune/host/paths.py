"""Which paths a group can have, by the place in the tree."""

from typing import Literal

from cachetune.host.groups import NOT_GROUPS, STRAY
from cachetune.host.model import DEFAULT_GROUP


def kind_of(path: str, *, monitoring: bool = True) -> Literal["control", "monitor"] | None:
    """Control or monitor, by the place in the tree; None for a path that resctrl cannot have."""
    if path == DEFAULT_GROUP:
        return "control"
    parts = path.split("/")
    if "\0" in path or any(part in {"", ".", ".."} for part in parts):
        return None
    match parts:
        case [name] if name not in NOT_GROUPS or (name in STRAY and not monitoring):
            return "control"
        case ["mon_groups", name] if name != "mon_groups":
            return "monitor"
        case [parent, "mon_groups", name] if parent not in NOT_GROUPS and name != "mon_groups":
            return "monitor"
        case _:
            return None
