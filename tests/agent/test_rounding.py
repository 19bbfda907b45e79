"""The agent with --round: sizes that no whole number of ways has are placed, and stay where they are."""

from pathlib import Path

import msgspec
import pytest

from cachetune.agent.decide import AgentOptions, Apply, NoAction, Observation, decide, plan_options
from cachetune.apply.run import Connection, apply_planned
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.guests.tuning_files import TuningFile
from cachetune.service.plans import planner_of
from cachetune.units import Rounding
from tests.agent.machine import KEPT, runs
from tests.samples import host_with_guest


def wanted(size: str) -> Domain:
    cache = f"<cache id='0' level='3' type='both' {size}/>"
    found = load(f"<cputune><cachetune vcpus='0-1'>{cache}</cachetune></cputune>".encode(), "web.xml").domain
    assert found is not None
    return msgspec.structs.replace(found, name="web")


class Rounds:
    """A host with the running guest, observed with one rounding."""

    def __init__(self, directory: Path, rounding: Rounding | None) -> None:
        self.connection = Connection(host_with_guest("skylake-2s"), directory / "run")
        self.options = AgentOptions(shrink_default=True, rounding=rounding)

    def decision(self, domain: Domain) -> object:
        ledger = load_ledger(self.connection.run)
        host = self.connection.look(ledger)
        observation = Observation({"web": TuningFile(domain)}, (runs(uuid=None),), host, ledger)
        ((_, decided),) = decide(observation, {"web": KEPT}, self.options, 0.0).values()
        return decided

    def apply(self, decided: object) -> None:
        assert isinstance(decided, Apply), decided
        report = apply_planned(planner_of([decided.request], plan_options(self.options)), self.connection)
        assert report.exit_code == 0


@pytest.mark.parametrize(
    ("size", "rounding", "mask"),
    [
        ("size='3' unit='MiB'", "up", "003"),
        ("size='3' unit='MiB'", "down", "001"),
        ("size='30' unit='%'", None, "007"),
        ("size='30' unit='%'", "up", "00f"),
        ("size='3' unit='ways'", None, "007"),
    ],
)
def test_a_guest_is_placed_once_and_then_left_alone(
    size: str, rounding: Rounding | None, mask: str, tmp_path: Path
) -> None:
    rounds = Rounds(tmp_path, rounding)
    rounds.apply(rounds.decision(wanted(size)))
    assert rounds.connection.resctrl.read("cachetune-web-vcpus_0-1/schemata").count(f"L3:0={mask};") == 1
    assert rounds.decision(wanted(size)) == NoAction("placed")


def test_without_the_option_bytes_that_are_no_ways_are_reported(tmp_path: Path) -> None:
    decided = Rounds(tmp_path, None).decision(wanted("size='3' unit='MiB'"))
    assert isinstance(decided, NoAction)
    assert (decided.state, "[CT205]" in decided.reason) == ("failed", True)
