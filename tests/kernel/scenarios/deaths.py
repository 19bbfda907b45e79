"""Apply, remove and recover, killed between any two changes that they make; then recover, twice.

``python -m … DOMAIN.xml EXTENT [SEED]``. Recover is killed after runs that died at their end: the one with most to
undo, and the first that is to be finished; if the extent is "all", after runs that died anywhere. If it is "sample" or
"few", a run is killed before its first change and after one change of each kind, drawn with the seed. One process has
all imported and planned, and forks a child for each death: starting a program takes seconds in the machine.
"""

import gc
import random
import sys
from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.recover import recover
from cachetune.apply.run import Connection
from cachetune.apply.state.change_log import Change
from cachetune.apply.state.ledger import load_ledger
from cachetune.plan import Plan
from cachetune.service.change_log import Wanted, log_files, opened, read_changes
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.changes import changes_of, killed
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal

State = dict[str, str]


class Death(msgspec.Struct, frozen=True):
    """One run that died after ``number`` changes, and what came of it.

    ``left`` is whether the state was neither of the two at that moment. ``ended`` is "before" or "after", or describes
    the differences from both after recovery; ``again`` is what a second recover said, and what it changed. ``logged``
    are the outcomes in the change log, ``runs`` how many runs they are of.
    """

    number: int
    killed_by: int
    left: bool
    recovered: str
    ended: str
    again: tuple[str, ...]
    logged: tuple[str, ...]
    runs: int


class Round(msgspec.Struct, frozen=True):
    """The changes that a run makes when it lives, and the deaths in between."""

    changes: tuple[str, ...]
    deaths: tuple[Death, ...]


class Outcome(msgspec.Struct, frozen=True):
    """The two plans, a round for each kind of run, and what differs from the original tree at the end."""

    apply: Plan
    remove: Plan
    rounds: dict[str, Round]
    differs: tuple[str, ...]


class Scene:
    """Two states of a guest's groups, and the plans that lead from the first to the second and back."""

    def __init__(
        self,
        connection: Connection,
        tids: Collection[int],
        ways: dict[str, Callable[[], Plan]],
        moments: Callable[[tuple[str, ...]], Iterable[int]],
    ) -> None:
        """``ways`` are the verb that leads there and the one that leads back, each with a planner.

        ``moments`` says after how many of a run's changes it is killed.
        """
        self.connection, self._tids, self._moments = connection, tids, moments
        self._there, self._back = ways
        self.plans: dict[str, Plan] = {}
        for verb, plan in ways.items():
            self.plans[verb] = plan()
            carried_out(self.plans[verb], connection)
            if verb == self._there:
                self._second = self.look()
        self._first = self.look()

    def look(self) -> State:
        """The groups, and what the run directory records about them."""
        state = {f"{path} {name}": text for path, files in tree.groups().items() for name, text in files.items()}
        for path in (path for path in state if path.endswith(" tasks")):
            state[path] = " ".join(tid for tid in state[path].split() if int(tid) in self._tids)
        ledger = load_ledger(self.connection.run)
        return (
            state
            | {"ledger": f"{ledger.guests} {ledger.shrunk} {ledger.initial}"}
            | {p.name: "" for p in sorted(self.connection.run.iterdir())}
        )

    def round(self, verb: str) -> Round:
        """The verb killed at every moment."""

        def run() -> None:
            carried_out(self.plans[verb], self.connection)

        return self._killed_everywhere(verb, run, lambda: None)

    def recoveries(self, verb: str, *, all_ends: bool) -> dict[str, Round]:
        """Recover killed at every moment, after the verb has died."""

        def run() -> None:
            carried_out(self.plans[verb], self.connection)

        changes = changes_of(run)
        self._go_back(verb)
        done = last_record(changes)
        died = range(3, len(changes)) if all_ends else (done, done + 1)  # with two changes there is an empty journal
        return {
            f"recover after {made} changes of {verb}": self._killed_everywhere(
                verb, self._recover, partial(killed, run, made)
            )
            for made in died
        }

    def _recover(self) -> None:
        if recover(self.connection).outcome != "done":
            raise RuntimeError("there was nothing to recover")

    def _killed_everywhere(self, verb: str, run: Callable[[], None], begin: Callable[[], object]) -> Round:
        begin()
        changes = changes_of(run)
        self._go_back(verb)
        deaths = []
        for number in self._moments(changes):
            earlier = len(self._log())
            begin()
            deaths.append(self._death(verb, number, killed(run, number), earlier))
            self._go_back(verb)
        return Round(changes, tuple(deaths))

    def _log(self) -> tuple[Change, ...]:
        return read_changes(opened(log_files(self.connection.change_log)), Wanted()).changes

    def _death(self, verb: str, number: int, killed_by: int, earlier: int) -> Death:
        before, after = self._ends(verb)
        left = self.look() not in (before, after)
        first = recover(self.connection).outcome
        state = self.look()
        ended = {str(before): "before", str(after): "after"}.get(str(state)) or str(tree.differences(before, state))
        logged = self._log()[earlier:]
        again = recover(self.connection).outcome
        return Death(
            number,
            killed_by,
            left,
            first,
            ended,
            (again, *tree.differences(state, self.look())),
            tuple(change.outcome for change in logged),
            len({change.run_id for change in logged}),
        )

    def _go_back(self, verb: str) -> None:
        """To where the verb begins, for the next death."""
        before, after = self._ends(verb)
        state = self.look()
        if state == after:
            carried_out(self.plans[self._back if verb == self._there else self._there], self.connection)
            state = self.look()
        if differs := tree.differences(before, state):
            raise RuntimeError(f"the way back is not known: {differs}")

    def _ends(self, verb: str) -> tuple[State, State]:
        return (self._first, self._second) if verb == self._there else (self._second, self._first)


def last_record(changes: tuple[str, ...]) -> int:
    """How many changes a run has made when only the record is missing that all is done."""
    return max(n for n, change in enumerate(changes) if change == "write journal.jsonl")


def kind_of(change: str) -> str:
    """A change without the name of its group."""
    verb, _, _ = change.partition(" ")
    return verb if verb in ("mkdir", "rmdir") else change


def everywhere(changes: tuple[str, ...]) -> range:
    """Every moment of a run."""
    return range(len(changes) + 1)


def sampled(changes: tuple[str, ...], draw: random.Random) -> list[int]:
    """The beginning, and a moment after a change of each kind."""
    numbers: dict[str, list[int]] = {}
    for number, change in enumerate(changes, 1):
        numbers.setdefault(kind_of(change), []).append(number)
    return [0, *sorted(map(draw.choice, numbers.values()))]


def moments_of(extent: str, *seed: str) -> Callable[[tuple[str, ...]], Iterable[int]]:
    """After how many of a run's changes it is killed: a sample, or everywhere."""
    draw = random.Random("".join(seed))  # noqa: S311 - reproducible on purpose
    return partial(sampled, draw=draw) if extent in ("sample", "few") else everywhere


def main() -> None:
    """Print an Outcome."""
    with running(4) as process:
        tids = process.threads.tids
        first = tree.state(tids)
        wanted, connection = domain_in(Path(sys.argv[1])), place_on(Path("/run/deaths"))
        guest = guest_of(wanted, process.threads.pid)
        ways = {
            "apply": lambda: planned(wanted, guest, connection),
            "remove": lambda: removal(wanted, connection),
        }
        scene = Scene(connection, {thread.tid for thread in guest.threads}, ways, moments_of(*sys.argv[2:]))
        gc.disable()  # its looks at every value would copy all memory in every child
        all_ends = sys.argv[2] == "all"
        rounds = {"apply": scene.round("apply"), **scene.recoveries("apply", all_ends=all_ends)}
        carried_out(scene.plans["apply"], scene.connection)
        rounds |= {"remove": scene.round("remove"), **scene.recoveries("remove", all_ends=all_ends)}
        carried_out(scene.plans["remove"], scene.connection)
        differs = tree.differences(first, tree.state(tids))
    sys.stdout.buffer.write(documents.encode(Outcome(scene.plans["apply"], scene.plans["remove"], rounds, differs)))


if __name__ == "__main__":
    main()
