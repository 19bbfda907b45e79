"""The steps that a plan is made of: a closed set. A step says what it changes and what was there before.

Paths are relative to the resctrl root; "." is the default group.
"""

from typing import Annotated

import msgspec

Tid = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]


class CreateGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="create_group"):
    """mkdir of a control or monitor group. Undone by removing it."""

    path: str


class WriteSchemata(msgspec.Struct, frozen=True, tag_field="kind", tag="write_schemata"):
    """One write of ``after`` to the group's schemata. Undone by writing ``before`` ("" for a new group)."""

    path: str
    before: str
    after: str


class MoveTasks(msgspec.Struct, frozen=True, tag_field="kind", tag="move_tasks", rename={"source": "from"}):
    """Threads that go from the group ``source`` to ``path``. Undone by moving them back."""

    path: str
    source: str
    tids: tuple[Tid, ...]


class RemoveGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="remove_group"):
    """rmdir of a group of ours. The rest is what it had, to make it again: ``schemata`` is "" for a monitor group."""

    path: str
    schemata: str
    cpus: str = ""
    mode: str = "shareable"


Step = CreateGroup | WriteSchemata | MoveTasks | RemoveGroup
