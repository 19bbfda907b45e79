"""The steps back: after a change of each of two guests, undoing both leaves the host exactly as it was."""

import json
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain.model import Domain
from cachetune.errors import ApplyRefusedError
from cachetune.guests.model import Guest, Thread
from cachetune.host.read import read_host
from cachetune.plan import Plan, PlanRefusedError, plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.plan.steps import RemoveGroup
from cachetune.sim import SimulatedResctrl, load_profile
from tests.samples import FAST_PROFILES, GUEST, domains, host_with_guest, plan_for

DB = Guest(4721, tuple(Thread(4721 + n, 0, f"CPU {n}/KVM", n) for n in range(4)))
GUESTS = {"web": GUEST, "db": DB}


def inverse(done: Any, removals: Any) -> Any:
    from ansible_collections.cachetune.resctrl.plugins.module_utils.inverse import inverse as of_the_collection

    return of_the_collection(done, removals)


def changed(domain: Domain, connection: Connection) -> Report | None:
    """Apply a request; None if it does not fit."""
    try:
        plan = plan_for(domain, connection, GUESTS[domain.name])
    except PlanRefusedError:
        return None
    report = apply(plan, connection)
    assert report.exit_code == 0
    return report


def undo(reports: list[Report], connection: Connection) -> Report:
    """Undo what was done as the module does: with the documents, in one plan."""
    ledger = load_ledger(connection.run)
    host = connection.look(ledger)
    machines = [PlanGuest(name, f"cachetune-{name}", threads=guest.threads) for name, guest in GUESTS.items()]
    base = json.loads(documents.encode(plan_removal(host, machines, ledger.owned, ledger.shrunk)))
    removals = {step["path"]: step for step in base["steps"] if step["kind"] == "remove_group"}
    done = [step for report in reports for step in json.loads(documents.encode(report))["done"]]
    plan = {**base, "guests": msgspec.to_builtins(machines), "steps": inverse(done, removals)}
    return apply(documents.decode(json.dumps(plan).encode(), Plan, "the plan"), connection)


def state(connection: Connection) -> tuple[Any, ...]:
    """What resctrl has, and what the ledger says about it."""
    ledger = load_ledger(connection.run)
    return tuple(sorted(connection.look(ledger).groups, key=lambda group: group.path)), ledger.guests


@st.composite
def histories(draw: st.DrawFn) -> tuple[str, list[Domain], list[Domain]]:
    """A profile, what was applied before, and what is applied and undone."""
    profile = draw(st.sampled_from(FAST_PROFILES))
    host = read_host(SimulatedResctrl(load_profile(profile)))
    names = st.sampled_from(sorted(GUESTS))
    requests = st.builds(lambda domain, name: msgspec.structs.replace(domain, name=name), domains(host), names)
    return (
        profile,
        draw(st.lists(requests, max_size=2)),
        draw(st.lists(requests, min_size=1, max_size=2, unique_by=lambda domain: domain.name)),
    )


@settings(max_examples=15)
@given(histories())
def test_undoing_changes_restores_every_mask_and_thread_or_is_refused_and_changes_nothing(
    history: tuple[str, list[Domain], list[Domain]],
) -> None:
    profile, earlier, later = history
    sim = host_with_guest(profile)
    for thread in DB.threads:
        sim.add_task(thread.tid)
    with tempfile.TemporaryDirectory() as run:
        connection = Connection(sim, Path(run))
        for domain in earlier:
            changed(domain, connection)
        before = state(connection)
        reports = [report for domain in later if (report := changed(domain, connection))]
        after = state(connection)
        steps = [step for report in reports for step in report.done]
        if not steps:
            return
        try:
            is_done = undo(reports, connection).outcome == "done"
        except ApplyRefusedError:
            is_done = False
        # A group that shared the default group's ways cannot always be made again while others have these ways.
        assert is_done or any(isinstance(step, RemoveGroup) for step in steps)
        assert state(connection) == (before if is_done else after)


def test_a_group_that_was_removed_since_cannot_be_undone() -> None:
    with pytest.raises(KeyError):
        inverse([{"kind": "create_group", "path": "cachetune-web"}], {})


def test_a_group_that_shared_the_default_groups_ways_shares_them_again() -> None:
    done = [
        {"kind": "write_schemata", "path": ".", "before": "L3:0=ffff\n", "after": "L3:0=fffe\n"},
        {"kind": "write_schemata", "path": "cachetune-web", "before": "L3:0=ffff\n", "after": "L3:0=1\n"},
    ]
    assert [(step["path"], step["before"].strip(), step["after"].strip()) for step in inverse(done, {})] == [
        ("cachetune-web", "L3:0=1", "L3:0=fffe"),
        (".", "L3:0=fffe", "L3:0=ffff"),
        ("cachetune-web", "L3:0=fffe", "L3:0=ffff"),
    ]
