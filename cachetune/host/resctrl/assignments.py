"""The file mbm_L3_assignments of a group: which bandwidth event has a counter in which cache (AMD ABMC, MPAM).

Reading gives one line for each event, such as ``mbm_total_bytes:0=e;1=_``: the event has a counter (``e``) in cache 0
and none (``_``) in cache 1. A write may name any entries, one line for each event. The kernel takes them from left to
right, so those before a failure remain; an entry that is already so changes nothing. Source: fs/resctrl/monitor.c.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

Assigned = dict[str, dict[int, bool]]
"""By event and cache id, whether there is a counter."""

_EVENT = re.compile(r"[a-z0-9_]{1,64}", re.ASCII)
_ENTRY = re.compile(r"([0-9]{1,10})=([e_])", re.ASCII)


class Parsed(NamedTuple):
    """The assignments in a file, and the lines that are something else."""

    assigned: Assigned
    malformed: tuple[str, ...]


def parse(text: str) -> Parsed:
    """The assignments in the content of a file; blanks separate lines as well."""
    assigned: Assigned = {}
    malformed = []
    for line in text.split():
        event, _, entries = line.partition(":")
        matches = [_ENTRY.fullmatch(entry) for entry in entries.split(";")]
        if all(matches) and _EVENT.fullmatch(event):
            assigned[event] = {int(match[1]): match[2] == "e" for match in matches if match}
        else:
            malformed.append(line)
    return Parsed(assigned, tuple(malformed))


def format_assignments(assigned: Mapping[str, Mapping[int, bool]]) -> str:
    """The lines of the file, each event one, separated by blanks."""
    return " ".join(f"{event}:{_entries(row, row)}" for event, row in assigned.items())


def format_command(assigned: Mapping[str, Mapping[int, bool]]) -> str:
    """What to write for these assignments: counters are released before others are assigned."""
    lines = []
    for wanted in (False, True):
        for event, row in assigned.items():
            ids = [cache_id for cache_id, counter in row.items() if counter == wanted]
            lines += [f"{event}:{_entries(row, ids)}\n"] if ids else []
    return "".join(lines)


def _entries(row: Mapping[int, bool], ids: Mapping[int, bool] | list[int]) -> str:
    return ";".join(f"{cache_id}={'e' if row[cache_id] else '_'}" for cache_id in ids)
