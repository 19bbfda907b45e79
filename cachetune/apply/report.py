"""The report of ``apply``, ``remove`` and ``recover``."""

from typing import Literal

import msgspec

from cachetune.plan.steps import Step

Outcome = Literal["done", "nothing to do", "rolled back", "rollback incomplete"]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done, what was undone and what went wrong.

    ``machine_names`` has one name for each guest. ``done`` and ``undone`` are steps in the order in which they were
    taken, without one that failed before it changed anything; ``error`` is what stopped the run and ``undo_errors``
    what could not be undone. ``vanished_tids`` ended before they could be moved; ``late_tids`` started after the plan
    was made and were moved as well.
    """

    schema_version: Literal[1] = 1
    outcome: Outcome
    machine_names: tuple[str, ...]
    done: tuple[Step, ...] = ()
    undone: tuple[Step, ...] = ()
    error: str = ""
    hint: str = ""
    undo_errors: tuple[str, ...] = ()
    vanished_tids: tuple[int, ...] = ()
    late_tids: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 done or nothing to do, 1 failed and rolled back, 3 failed and rollback incomplete."""
        return {"done": 0, "nothing to do": 0, "rolled back": 1, "rollback incomplete": 3}[self.outcome]
