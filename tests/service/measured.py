"""A simulated host on which guests have their own ways, and a clock that waiting moves: for measurements."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain.model import Domain, GroupRequest
from cachetune.guests.model import Guest, RunningGuest, Thread
from cachetune.plan.request import GuestRequest, Options
from cachetune.service.measure import Pace
from cachetune.service.plans import plan_requests
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.testing import Clock
from tests.samples import HERE, cache_request

PROFILE = "skylake-2s"


class Scene:
    """Guests with this many ways of L3 cache 0 each, and a default group that keeps the others."""

    def __init__(self, directory: Path, ways: Mapping[str, int], profile: str = PROFILE) -> None:
        self.clock = Clock()
        self.sim = SimulatedResctrl(load_profile(profile), clock=self.clock)
        self.connection = Connection(self.sim, directory / "run", program="test")
        self.guests = {name: self._started(number, name) for number, name in enumerate(ways)}
        requests = [GuestRequest(self.domain(name, each), self.guests[name].guest) for name, each in ways.items()]
        self.plan(requests)
        self.before = self.schemata()

    def _started(self, number: int, name: str) -> RunningGuest:
        tids = range(4711 + 10 * number, 4713 + 10 * number)
        for tid in tids:
            self.sim.add_task(tid)
        threads = tuple(Thread(tid, 0, f"CPU {n}/KVM", n) for n, tid in enumerate(tids))
        return RunningGuest(name=name, uuid=None, source="threads", guest=Guest(tids[0], threads), user=0)

    def domain(self, name: str, ways: int) -> Domain:
        host = self.connection.look(load_ledger(self.connection.run))
        caches = (cache_request(next(c for c in host.caches if c.level == 3), 0, ways),)
        return Domain(name, None, None, "kvm", 2, (GroupRequest(None, None, caches, (), (), HERE),))

    def plan(self, requests: Sequence[GuestRequest]) -> None:
        """Apply the requests; what the default group has is given up for them."""
        ledger = load_ledger(self.connection.run)
        planned = plan_requests(requests, self.connection.look(ledger), ledger, Options(shrink_default=True))
        assert apply(planned, self.connection).outcome == "done"

    @property
    def pace(self) -> Pace:
        return Pace(self.clock, self.clock.advance)

    def schemata(self) -> dict[str, str]:
        """The schemata of every control group, by path."""
        names = [name for name in self.sim.listdir("") if name.startswith("cachetune-")]
        return {name: self.sim.read(f"{name}/schemata") for name in names} | {".": self.sim.read("schemata")}

    def mask(self, name: str) -> str:
        """The guest's mask of cache 0 in hexadecimal."""
        line = next(line for line in self.sim.read(f"cachetune-{name}/schemata").split("\n") if "L3" in line)
        return line.partition("0=")[2].partition(";")[0].lstrip("0")
