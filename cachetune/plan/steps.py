"""The steps that a plan consists of. The set is closed: each says what it changes and what was there before.

Paths are relative to the resctrl root; "." is the default group. Code that depends on the kind of a step matches on
all of ``Step`` and ends in ``assert_never``, so that mypy lists every place a new kind must be added to.
"""

from typing import Annotated, assert_never

import msgspec

from cachetune.plan.settings import group_of_file

Tid = Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]


class CreateGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="create_group"):
    """mkdir of a control or monitor group. Undone by removing it."""

    path: str


class WriteSchemata(msgspec.Struct, frozen=True, tag_field="kind", tag="write_schemata"):
    """One write of ``after`` to the group's schemata. Undone by writing ``before`` ("" for a new group)."""

    path: str
    before: str
    after: str


class WriteFile(msgspec.Struct, frozen=True, tag_field="kind", tag="write_file"):
    """One write of ``after`` to a file such as ``GROUP/mode``. Undone by writing ``before``.

    Both are values as plan/settings.py defines them, without a newline. It also lists the files that may be written.
    """

    path: str
    before: str
    after: str


class MoveTasks(msgspec.Struct, frozen=True, tag_field="kind", tag="move_tasks", rename={"source": "from"}):
    """Move threads from the group ``source`` to ``path``. Undone by moving them back."""

    path: str
    source: str
    tids: tuple[Tid, ...]


class RemoveGroup(msgspec.Struct, frozen=True, tag_field="kind", tag="remove_group"):
    """rmdir of one of our groups. Undone by making it again from the other fields.

    ``schemata`` is "" for a monitor group, ``assignments`` where no counters are assigned.
    """

    path: str
    schemata: str
    cpus: str = ""
    mode: str = "shareable"
    assignments: str = ""


Step = CreateGroup | WriteSchemata | WriteFile | MoveTasks | RemoveGroup


class Effect(msgspec.Struct, frozen=True):
    """What one step does, for code that counts steps or looks for what they touch. Fields that do not apply stay None.

    ``created``, ``removed`` and ``written`` are groups, ``setting`` is a host-wide file. ``tids`` move from the group
    ``left`` to the group ``entered``.
    """

    created: str | None = None
    removed: str | None = None
    written: str | None = None
    setting: str | None = None
    entered: str | None = None
    left: str | None = None
    tids: tuple[int, ...] = ()

    @property
    def groups(self) -> tuple[str, ...]:
        """All groups that the step touches."""
        paths = (self.created, self.removed, self.written, self.entered, self.left)
        return tuple(path for path in paths if path is not None)


def effect_of(step: Step) -> Effect:
    """What the step does once it is taken."""
    match step:
        case CreateGroup(path):
            return Effect(created=path)
        case WriteSchemata(path):
            return Effect(written=path)
        case WriteFile(path):
            group = group_of_file(path)
            return Effect(setting=path) if group is None else Effect(written=group)
        case MoveTasks(path, source, tids):
            return Effect(entered=path, left=source, tids=tids)
        case RemoveGroup(path):
            return Effect(removed=path)
        case _:
            assert_never(step)
