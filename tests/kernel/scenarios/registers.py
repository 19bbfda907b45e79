"""Apply random domains, and examples, to a guest on a host that others use too, and mark the registers at each moment.

``python -m … SEED COUNT DOMAINS.pickle``; first come the given domains that fit, by name, then ``COUNT`` random cases.
Each case has its own generator, seeded with SEED and its number, so that a single case can be reproduced. The
registers are marked "NAME before", "NAME applied N" and "NAME removed".
"""

import pickle
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain.model import Domain
from cachetune.guests import find_guest
from cachetune.guests.model import Guest
from cachetune.host import SysfsResctrl
from cachetune.host.model import CacheControl
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan_guests, plan_removal
from cachetune.plan.model import PlanGuest
from tests.drawn import drawn_domain
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.guest_process import running

_MACHINE = "cachetune-guest"
_TRIES = 20


class Case(msgspec.Struct, frozen=True):
    """One guest from its first domain to its removal.

    ``others`` are the foreign groups in the order in which they were made, ``gone`` those of them that were removed
    before the guest came. ``hw_ids`` are the CLOSIDs after each apply, if the kernel shows them.
    """

    name: str
    others: tuple[str, ...]
    gone: tuple[str, ...]
    plans: tuple[Plan, ...]
    outcomes: tuple[str, ...]
    hw_ids: tuple[dict[str, int], ...]


class Outcome(msgspec.Struct, frozen=True):
    """The cases, and the names of the given domains that this host cannot have."""

    cases: tuple[Case, ...]
    refused: tuple[str, ...]


class _Runner:
    """Carries cases out on the kernel's resctrl."""

    def __init__(self, guest: Guest) -> None:
        self._fs = SysfsResctrl(tree.RESCTRL)
        self._guest = guest
        self._connection = Connection(self._fs, Path("/run/registers"), Path("/sys"), Path("/proc"))

    def example(self, domain: Domain, name: str) -> Case | None:
        """An example on an empty host; None where it does not fit."""
        wanted = self._planned(domain)
        return self._carry_out(name, (), (), [iter([domain])]) if wanted else None

    def drawn(self, name: str, draw: random.Random) -> Case:
        """One domain, or one and then another for the same guest, on a host with foreign groups."""
        others, gone = self._settle_others(draw)
        host = self._connection.look(Ledger())
        rounds = [(drawn_domain(draw, host, "guest") for _ in range(_TRIES)) for _ in range(draw.choice([1, 1, 2]))]
        case = self._carry_out(name, others, gone, rounds)
        for path in (path for path in others if path not in gone):
            self._fs.rmdir(path)
        return case

    def _settle_others(self, draw: random.Random) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Groups of other programs that share the default group's high ways; some go again, leaving gaps."""
        others = tuple(f"COS{number}" for number in range(1, draw.choice([1, 1, 2, 4])))
        for path in others:
            self._fs.mkdir(path)
            lines = [_random_line(cache, draw) for cache in self._connection.look(Ledger()).caches]
            self._fs.write(f"{path}/schemata", "".join(lines) + f"MB:0={draw.randrange(10, 101, 10)}\n")
        gone = tuple(path for path in others if draw.random() < 0.3)
        for path in gone:
            self._fs.rmdir(path)
        return others, gone

    def _carry_out(
        self, name: str, others: tuple[str, ...], gone: tuple[str, ...], rounds: Iterable[Iterator[Domain]]
    ) -> Case:
        plans, outcomes, hw_ids = [], [], []
        tree.mark(f"{name} before")
        for number, domains in enumerate(rounds):
            wanted = next(filter(None, map(self._planned, domains)), None)
            if wanted:
                plans.append(wanted)
                outcomes.append(apply(wanted, self._connection).outcome)
                tree.mark(f"{name} applied {number}")
                hw_ids.append(_hw_ids())
        ledger = load_ledger(self._connection.run)
        guest = PlanGuest("guest", _MACHINE)
        back = plan_removal(self._connection.look(ledger), [guest], ledger.groups_of(_MACHINE), ledger.shrunk)
        outcomes.append(apply(back, self._connection).outcome)
        tree.mark(f"{name} removed")
        return Case(name, others, gone, tuple(plans), tuple(outcomes), tuple(hw_ids))

    def _planned(self, domain: Domain) -> Plan | None:
        ledger = load_ledger(self._connection.run)
        request = GuestRequest(domain, self._guest, _MACHINE, ledger.groups_of(_MACHINE))
        try:
            wanted = plan_guests([request], self._connection.look(ledger), Options(shrink_default=True))
        except PlanRefusedError:
            return None
        return wanted if wanted.steps else None


def main() -> None:
    """Print an Outcome."""
    seed, count, given = sys.argv[1:]
    examples: dict[str, Domain] = pickle.loads(Path(given).read_bytes())  # noqa: S301 - made by the test
    cases: list[Case] = []
    refused: list[str] = []
    with running(4) as process:
        runner = _Runner(find_guest(process.threads.pid, Path("/proc")))
        for name, domain in examples.items():
            case = runner.example(domain, name)
            cases += [case] if case else []
            refused += [] if case else [name]
        cases += [runner.drawn(str(n), random.Random(f"{seed} {n}")) for n in range(int(count))]  # noqa: S311
    sys.stdout.buffer.write(documents.encode(Outcome(tuple(cases), tuple(refused))))


def _hw_ids() -> dict[str, int]:
    """CLOSIDs by control group, as a mount with the option debug shows them."""
    return {
        str(path.parent.relative_to(tree.RESCTRL)): int(path.read_text())
        for path in (tree.RESCTRL / "ctrl_hw_id", *tree.RESCTRL.glob("*/ctrl_hw_id"))
        if path.exists()
    }


def _random_line(cache: CacheControl, draw: random.Random) -> str:
    """A line of schemata with a run of the upper half of each cache's ways."""
    masks = []
    for cache_id in cache.size_bytes:
        low = draw.randrange(cache.ways // 2, cache.ways)
        length = draw.randrange(1, cache.ways - low + 1)
        masks.append(f"{cache_id}={((1 << length) - 1) << low:x}")
    return f"{cache.name}:{';'.join(masks)}\n"


if __name__ == "__main__":
    main()
