"""Many large guests under strace, first one tuned, then all others: ``python -m … GUESTS VCPUS DIRECTORY [OPTION …]``.

The guests are processes with a thread per vCPU. ``--resctrl``, ``--run`` and ``--sysfs`` say where the host is, as for
``cachetune apply``. One guest is planned alone, the others together in one plan.
"""

import argparse
import contextlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.run import apply_planned
from cachetune.domain import load
from cachetune.guests import find_guest
from cachetune.idset import format_ids
from cachetune.plan import Options
from cachetune.plan.request import GuestRequest
from cachetune.plan.steps import Step
from cachetune.service.connection import Location, connect
from cachetune.service.plans import plan_requests
from tests.bench.operations import counted, least, strace
from tests.kernel.scenarios.guest_process import Threads, running


class Run(msgspec.Struct, frozen=True):
    """What was done for some guests at once, and how many operations on resctrl that took."""

    steps: tuple[Step, ...]
    operations: int

    def ratio(self, *, lists: bool) -> float:
        """The operations against the least possible on a kernel that takes lists of tids, or does not."""
        return self.operations / least(self.steps, lists=lists)


class Outcome(msgspec.Struct, frozen=True):
    """``guests`` in the order of their numbers; ``tids`` are those in each group that was made, by its path."""

    guests: tuple[Threads, ...]
    first: Run
    others: Run
    tids: dict[str, frozenset[int]]

    def expected(self) -> dict[str, frozenset[int]]:
        """``tids`` as it must be: every vCPU in its guest's group, and in the monitor group of its half."""
        return {
            path: frozenset(tids) for number, guest in enumerate(self.guests) for path, tids in _groups(number, guest)
        }


def main() -> None:
    """Print an Outcome."""
    asked = _parser().parse_args()
    if asked.pids:
        return _apply(asked)
    with contextlib.ExitStack() as stack:
        guests = tuple(stack.enter_context(running(asked.vcpus)).threads for _ in range(asked.guests))
        trace = asked.directory / "trace"
        command = [*strace(trace), sys.executable, "-m", __spec__.name, *sys.argv[1:]]
        command += [f"--pid={guest.pid}" for guest in guests]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        steps = msgspec.json.decode(done.stdout, type=tuple[tuple[Step, ...], ...])
        first, others = map(Run, steps, counted(trace.read_text().splitlines(), asked.resctrl))
        files = [file for file in asked.resctrl.rglob("tasks") if file.parent != asked.resctrl]
        tids = {
            str(file.parent.relative_to(asked.resctrl)): frozenset(map(int, file.read_text().split())) for file in files
        }
        sys.stdout.buffer.write(documents.encode(Outcome(guests, first, others, tids)))
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    parser.add_argument("guests", type=int)
    parser.add_argument("vcpus", type=int)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--resctrl", type=Path, default=Path("/sys/fs/resctrl"))
    parser.add_argument("--run", type=Path, default=Path("/run/cachetune"))
    parser.add_argument("--sysfs", type=Path, default=Path("/sys"))
    parser.add_argument("--pid", type=int, action="append", dest="pids")
    return parser


def _apply(asked: argparse.Namespace) -> None:
    """Tune the guests with these pids, the first one and then the others; prints the steps of both runs."""
    requests = [_request(number, asked.vcpus, pid) for number, pid in enumerate(asked.pids)]
    reports = [_tune(part, asked) for part in (requests[:1], requests[1:])]
    sys.stdout.buffer.write(msgspec.json.encode(reports))


def _tune(requests: Sequence[GuestRequest], asked: argparse.Namespace) -> tuple[Step, ...]:
    connection = connect(Location(resctrl=asked.resctrl, run=asked.run, sysfs=asked.sysfs))
    options = Options(shrink_default=True)
    report = apply_planned(lambda host, ledger: plan_requests(requests, host, ledger, options), connection)
    if report.exit_code:
        sys.exit(report.error)
    return report.done


def _request(number: int, vcpus: int, pid: int) -> GuestRequest:
    loaded = load(_tuned(number, vcpus).encode(), f"guest{number}.xml")
    if loaded.domain is None:
        sys.exit(str(loaded.findings))
    return GuestRequest(loaded.domain, find_guest(pid, Path("/proc")))


def _tuned(number: int, vcpus: int) -> str:
    """One way (2 MiB) of one cache for all vCPUs, and a monitor for either half of them."""
    monitors = "".join(f"<monitor level='3' vcpus='{format_ids(half)}'/>" for half in _halves(vcpus))
    cache = "<cache id='0' level='3' type='both' size='2' unit='MiB'/>"
    tune = f"<cachetune vcpus='0-{vcpus - 1}'>{cache}{monitors}</cachetune>"
    return f"<domain type='kvm'><name>guest{number}</name><vcpu>{vcpus}</vcpu><cputune>{tune}</cputune></domain>"


def _groups(number: int, guest: Threads) -> Iterator[tuple[str, Sequence[int]]]:
    """A guest's groups and the threads that belong there."""
    vcpus = len(guest.vcpus)
    control = f"cachetune-guest{number}-vcpus_0-{vcpus - 1}"
    yield control, [*guest.vcpus.values()]
    for half in _halves(vcpus):
        path = f"{control}/mon_groups/cachetune-guest{number}-vcpus_{format_ids(half)}"
        yield path, [guest.vcpus[vcpu] for vcpu in half]


def _halves(vcpus: int) -> tuple[range, range]:
    return range(vcpus // 2), range(vcpus // 2, vcpus)


if __name__ == "__main__":
    main()
