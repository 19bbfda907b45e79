"""Exclusive groups beside everything else that changes masks: whatever is planned, the kernel accepts it.

On a host with guests some of whose groups are exclusive, guests get other ways, groups move to make room, and the
default group is set and reset. The simulated kernel refuses what Linux refuses, also with CDP.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.plan import GuestRequest, Options, Plan, PlanRefusedError, plan_guests, plan_removal
from cachetune.plan.default_group import CacheAmount, DefaultRequest, plan_default
from cachetune.plan.exclusive import overlap_of
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import WriteSchemata
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Size
from tests.effort import examples
from tests.samples import cache_request, domain, group

pytestmark = pytest.mark.slow
NAMES = ("web", "db", "mail")
ROOMY = ("haswell", "clearwater-forest")  # their 16 and 20 ways rarely need compaction
HOSTS = ("skylake-2s", "skylake-2s, cdp", "atom-l2", *ROOMY)


def fresh(kind: str) -> SimulatedResctrl:
    profile, _, option = kind.partition(", ")
    return SimulatedResctrl(load_profile(profile).mounted(*filter(None, [option])))


class Scene:
    """A host, three guests with one thread each, and a generator that decides what they request."""

    def __init__(self, kind: str, seed: int, run: Path) -> None:
        self.sim, self.draw = fresh(kind), random.Random(seed)  # noqa: S311 - reproducible on purpose
        self.connection = Connection(self.sim, run)
        self.guests = {name: Guest(None, (Thread(n, 0, "", 0),)) for n, name in enumerate(NAMES, 100)}
        for n in range(100, 100 + len(NAMES)):
            self.sim.add_task(n)

    def look(self) -> Host:
        return self.connection.look(load_ledger(self.connection.run))

    def a_guest(self) -> Plan:
        """Other ways for one of the guests; a shareable group requests ways of some caches only."""
        host, name = self.look(), self.draw.choice(NAMES)
        exclusive = self.draw.random() < 0.6
        caches = tuple(
            cache_request(c, i, self.draw.randint(max(c.min_cbm_bits, 1), 4))
            for c in host.caches
            for i in c.size_bytes
            if exclusive or self.draw.random() < 0.7
        )
        asked = domain(replace(group({0}, caches, (), []), exclusive=exclusive and bool(caches)), name=name)
        ledger = load_ledger(self.connection.run)
        request = GuestRequest(asked, self.guests[name], owned=ledger.groups_of(f"cachetune-{name}"))
        options = Options(shrink_default=self.draw.random() < 0.7, compact=self.draw.random() < 0.7)
        return plan_guests([request], host, options, ledger.shrunk)

    def the_default_group(self) -> Plan:
        host = self.look()
        control = self.draw.choice(host.caches)
        ways = Size(self.draw.randint(max(control.min_cbm_bits, 1), control.ways), "ways")
        amount = CacheAmount(control.name, self.draw.choice(list(control.size_bytes)), ways)
        return plan_default(host, DefaultRequest((amount,)))

    def a_removal(self) -> Plan:
        ledger, machine = load_ledger(self.connection.run), f"cachetune-{self.draw.choice(NAMES)}"
        return plan_removal(self.look(), [PlanGuest("", machine)], ledger.groups_of(machine), ledger.shrunk)

    def plans(self) -> Iterator[Plan]:
        for _ in range(12):
            make = self.draw.choice([self.a_guest] * 4 + [self.the_default_group, self.a_removal])
            try:
                yield make()
            except PlanRefusedError:
                continue


def moves_others(plan: Plan) -> bool:
    """Whether the plan writes the masks of another guest's group, other than those of the default group."""
    own = {DEFAULT_GROUP, *(each.path for each in plan.groups)}
    changed = [step for step in plan.steps if isinstance(step, WriteSchemata) and step.path not in own]
    default = [step.after for step in plan.steps if isinstance(step, WriteSchemata) and step.path == DEFAULT_GROUP]
    return any(step.before and step.after not in default for step in changed)


@pytest.mark.parametrize("kind", HOSTS)
def test_the_kernel_accepts_every_plan_beside_exclusive_groups(kind: str, tmp_path: Path) -> None:
    compacted = exclusive = 0
    for seed in range(examples(12)):
        scene = Scene(kind, seed, tmp_path / str(seed))
        for plan in scene.plans():
            report = apply(plan, scene.connection)
            assert report.outcome in ("done", "nothing to do"), (seed, report.error, plan.steps)
            host = scene.look()
            masks = {each.path: each.masks for each in host.control_groups()}
            alone = [each.path for each in host.control_groups() if each.mode == "exclusive"]
            assert [overlap for path in alone if (overlap := overlap_of(path, masks, host.caches))] == []
            exclusive += len(alone)
            compacted += bool(alone) and bool(plan.groups) and moves_others(plan)
    assert exclusive > 20
    assert compacted > 0 or kind in ROOMY
