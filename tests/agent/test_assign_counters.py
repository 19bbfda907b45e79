"""The agent with --assign-counters: a monitor that could have a counter and lacks it is a difference to repair."""

from cachetune.agent.decide import AgentOptions, Apply, NoAction, Observation, decide
from cachetune.apply.state.ledger import GuestEntry, Ledger
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFile
from cachetune.host.model import Host
from cachetune.plan import GuestRequest, Options, plan_guests
from cachetune.plan.steps import WriteFile
from tests.plan.counted import after, guest, host, tune
from tests.samples import GUEST

DOMAIN = guest(tune("0-1", "0", "1"))
PLACED = after(host(), plan_guests([GuestRequest(DOMAIN, GUEST)], host(), Options()))


def decision(on: Host, *, assign: bool) -> object:
    """The decision about the guest, whose groups are in the ledger."""
    groups = tuple(group.path for group in on.groups if group.owner == "cachetune")
    ledger = Ledger(guests={"cachetune-web": GuestEntry("web", None, groups)})
    running = RunningGuest(name="web", uuid=None, source="threads", guest=GUEST, user=0)
    observation = Observation({"web": TuningFile(DOMAIN)}, (running,), on, ledger)
    ((_, decided),) = decide(observation, {}, AgentOptions(assign_counters=assign), 0.0).values()
    return decided


def test_missing_counters_are_repaired_with_the_option_only() -> None:
    assert decision(PLACED, assign=False) == NoAction("placed")
    assert isinstance(decision(PLACED, assign=True), Apply)


def test_what_cannot_be_repaired_is_no_difference() -> None:
    made = plan_guests([GuestRequest(DOMAIN, GUEST)], PLACED, Options(assign_counters=True))
    assert all(isinstance(step, WriteFile) for step in made.steps)
    assert decision(after(PLACED, made), assign=True) == NoAction("placed"), "mbm_local_bytes still lacks counters"
