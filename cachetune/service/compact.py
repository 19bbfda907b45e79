"""Compaction: a planner for ``carry_out``, and a plan for a saved or simulated host."""

from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.host.model import Host
from cachetune.plan.compact import CompactRequest, plan_compaction
from cachetune.plan.model import Plan
from cachetune.service.connection import Location
from cachetune.service.hosts import read_for_planning
from cachetune.service.plans import Planned, guests_of_groups
from cachetune.service.policy import policy_notes


def compact_planner(request: CompactRequest) -> Planner:
    """A planner for the compaction: it is called with the host once the lock is held."""

    def planner(host: Host, ledger: Ledger) -> Plan:
        return plan_compaction(host, request, guests_of_groups(ledger))

    return planner


def plan_compaction_of(location: Location, request: CompactRequest) -> Planned:
    """The plan of a compaction for the host of a location, and the warnings about the host."""
    reading = read_for_planning(location)
    notes = (*reading.notes, *policy_notes(request.policy, reading.host))
    return Planned(plan_compaction(reading.host, request, guests_of_groups(reading.ledger)), notes)
