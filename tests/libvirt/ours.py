"""Our answers: the same XML on a simulated host in the same state is loaded, planned, applied, and read back."""

from pathlib import Path

from cachetune.apply.run import Connection, apply
from cachetune.apply.state.ledger import Ledger
from cachetune.domain import load
from cachetune.findings import Finding
from cachetune.guests.model import Guest, Thread
from cachetune.plan import Options, PlanRefusedError
from cachetune.plan.build import plan_guests
from cachetune.plan.request import GuestRequest
from cachetune.sim import SimulatedResctrl, write_sysfs
from tests.libvirt.answers import MACHINE, Answer, placed
from tests.libvirt.bodies import HOSTS, VCPUS, Case, prepare
from tests.libvirt.domains import xml_of

MAIN = 100  # the guest's first thread; those of its vCPUs follow


class Cachetune:
    """Our answers, in the same form as libvirt's. ``directory`` is for temporary files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def answer(self, case: Case) -> Answer:
        """What we do with a case, and as whose groups libvirt would make them."""
        loaded = load(xml_of(case).encode(), "g.xml")
        if loaded.domain is None:
            return Answer(refused=_errors(loaded.findings))
        vcpus = {vcpu: MAIN + 1 + vcpu for vcpu in range(case.plugged or VCPUS)}
        connection = self._connection(case, (MAIN, *vcpus.values()))
        before = connection.look(Ledger())
        guest = Guest(MAIN, (Thread(MAIN), *(Thread(tid, vcpu=vcpu) for vcpu, tid in vcpus.items())))
        try:
            planned = plan_guests([GuestRequest(loaded.domain, guest, MACHINE)], before, Options())
        except PlanRefusedError as refused:
            return Answer(refused=_errors(refused.findings))
        report = apply(planned, connection)
        if report.exit_code:
            return Answer(refused=(report.error,))
        return Answer(groups=placed(before, connection.look(Ledger()), vcpus))

    def _connection(self, case: Case, tids: tuple[int, ...]) -> Connection:
        resctrl = SimulatedResctrl(HOSTS[case.host])
        prepare(resctrl, HOSTS[case.host], case.state)
        for tid in tids:
            resctrl.add_task(tid)
        sysfs = self._directory / case.host
        if not sysfs.exists():
            write_sysfs(HOSTS[case.host], sysfs)
        return Connection(resctrl, self._directory / "run" / case.key.replace("/", "-"), sysfs=sysfs)


def _errors(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(f"{f.message} [{f.rule}]" for f in findings if f.severity == "error"))
