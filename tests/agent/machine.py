"""A simulated host with one guest, and observations of them, for the tests of the agent's parts."""

import contextlib
from pathlib import Path
from typing import Any

import msgspec

from cachetune.agent.decide import AgentOptions, Memory, Observation, plan_options
from cachetune.apply import run as run_module
from cachetune.apply.run import apply_planned
from cachetune.apply.state.ledger import load_ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.guests.model import Guest, RunningGuest
from cachetune.guests.tuning_files import TuningFile
from cachetune.plan.request import GuestRequest
from cachetune.plan.steps import Step
from cachetune.service.plans import planner_of
from tests.samples import GUEST, TIDS, host_with_guest

OPTIONS = AgentOptions(shrink_default=True)
UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
OTHER_UUID = "11111111-1111-1111-1111-111111111111"
XML = f"""<domain type='kvm'%s>
  <name>web</name>
  <uuid>{UUID}</uuid>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='%d' unit='KiB'/>
    </cachetune>
  </cputune>
</domain>
"""
KEPT = Memory("cachetune-web", "file")
LIBVIRTS = Memory("qemu-7-web", "libvirt")


def xml(ways: int = 3, running: int | None = None) -> str:
    return XML % ("" if running is None else f" id='{running}'", ways * 2304)


def wanted(ways: int = 3, **other: Any) -> Domain:
    found = load(xml(ways).encode(), "web.xml").domain
    assert found is not None
    return msgspec.structs.replace(found, **other)


def runs(guest: Guest = GUEST, **more: Any) -> RunningGuest:
    return RunningGuest(**{"name": "web", "source": "threads", "guest": guest, "uuid": UUID, "user": 0, **more})


def runs_under_libvirt(running: int = 7) -> RunningGuest:
    return runs(source="libvirt-status", libvirt_id=running, xml=xml(running=running), uuid=UUID)


FILE = {"web": TuningFile(wanted())}
NO_FILE: dict[str, TuningFile] = {}
BROKEN = {"web": TuningFile(None, "web.xml:6:14: attribute 'levl' is not allowed [CT003]")}


class Machine:
    """A simulated host with a guest, as a round observes it."""

    def __init__(self, run: Path) -> None:
        self.sim = host_with_guest("skylake-2s")
        self.connection = run_module.Connection(self.sim, run)

    def placed(self, guest: Guest = GUEST) -> "Machine":
        """Apply the guest's request: cachetune's groups, with the guest's threads."""
        request = GuestRequest(wanted(), guest, "cachetune-web")
        apply_planned(planner_of((request,), plan_options(OPTIONS)), self.connection)
        return self

    def placed_by_libvirt(self, *tids: int, ways: str = "7") -> "Machine":
        """Create libvirt's groups, with these threads."""
        self.sim.write("schemata", "L3:0=7f8\n")
        self.sim.mkdir("qemu-7-web-vcpus_0-1")
        self.sim.write("qemu-7-web-vcpus_0-1/schemata", f"L3:0={ways};1=7ff\n")
        for tid in tids:
            self.sim.write("qemu-7-web-vcpus_0-1/tasks", str(tid))
        return self

    def killed_midway(self) -> None:
        """Kill a run for the guest after its third step."""
        taken: list[Step] = []

        def die(step: Step) -> None:
            if len(taken) == 3:
                raise KeyboardInterrupt
            taken.append(step)

        request = GuestRequest(wanted(), GUEST, "cachetune-web")
        with contextlib.suppress(KeyboardInterrupt):
            apply_planned(planner_of((request,), plan_options(OPTIONS)), self.connection, die)

    def ended(self) -> "Machine":
        """End the guest's threads."""
        for tid in TIDS:
            self.sim.end_task(tid)
        return self

    def observation(self, *running: RunningGuest, files: dict[str, TuningFile] | None) -> Observation:
        ledger = load_ledger(self.connection.run)
        return Observation(files, running, self.connection.look(ledger), ledger)
