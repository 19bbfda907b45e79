"""Hosts with random guests, for the formats that set masks."""

import random
from pathlib import Path

import msgspec

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import Host
from cachetune.plan import PlanRefusedError
from cachetune.service.applied import AppliedGuest, applied_guests
from cachetune.sim import SimulatedResctrl, load_profile
from tests.drawn import drawn_domain
from tests.samples import plan_for


def host_with_guests(profile: str, seed: int, run: Path) -> tuple[Host, tuple[AppliedGuest, ...]]:
    """A host on which requests of two guests are applied, as far as they fit."""
    sim = SimulatedResctrl(load_profile(profile))
    connection = Connection(sim, run)
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    for name, first in (("web", 4000), ("db", 5000)):
        threads = tuple(Thread(first + n, 0, f"CPU {n}/KVM", n) for n in range(4))
        for thread in threads:
            sim.add_task(thread.tid)
        try:
            made = plan_for(
                drawn_domain(draw, connection.look(load_ledger(run)), name), connection, Guest(first, threads)
            )
        except PlanRefusedError:
            continue
        assert apply(made, connection).outcome in ("done", "nothing to do")
    ledger = load_ledger(run)
    host = connection.look(ledger)
    return msgspec.structs.replace(host, source="node"), applied_guests(host, ledger)
