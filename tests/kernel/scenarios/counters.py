"""A guest with more monitors than there are counters: given counters, read, sampled and watched while its vCPUs work.

They work beside cache 0 alone, so it is known which counters grow.

``python -m … DOMAIN.xml``; the domain has one control group with a monitor for each of its vCPUs.
"""

import os
import sys
from pathlib import Path
from unittest import mock

import msgspec

from cachetune import documents
from cachetune.apply.state.ledger import load_ledger
from cachetune.cli.until_stopped import UntilStopped
from cachetune.exporter.collector import load_client, text_of
from cachetune.exporter.look import Observer
from cachetune.exporter.samples import samples_of
from cachetune.service.connection import Location
from cachetune.service.readings import Watcher
from cachetune.service.recording import Recording, record
from cachetune.service.select import Selection
from cachetune.watch import Reading, read_counters
from cachetune.watch.history import History, Recorder
from cachetune.watch.sampler import Sample, Sampler, rates
from cachetune.watch.usage import Moment
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.guest_process import GuestProcess, running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned


class Outcome(msgspec.Struct, frozen=True):
    """The readings of the guest's groups at two moments, and the rates between two samples by group and column.

    ``replaced`` are the rates of the last monitor group between the sample before it was removed and created again, and
    the first one after; ``gone`` is whether it was missing from the sample in between. ``watched`` is what
    ``monitor --interval`` printed, with JSON in each line. ``exported`` are the metrics that an exporter without root
    makes, before and after the vCPUs work. ``recorded`` is what ``record`` kept, and ``reported`` what ``report``
    printed about it.
    """

    first: tuple[Reading, ...]
    second: tuple[Reading, ...]
    rates: dict[str, dict[str, float | None]]
    gone: bool
    replaced: dict[str, float | None]
    watched: Ran
    exported: tuple[str, ...]
    recorded: tuple[Moment, ...]
    reported: Ran


_OTHER_USER = 65534


def main() -> None:
    """Print an Outcome."""
    domain = domain_in(Path(sys.argv[1]))
    with running(2) as process:
        for thread in process.threads.vcpus.values():
            os.sched_setaffinity(thread, {0})  # beside cache 0
        connection = place_on(Path("/run/counters"))
        plan = planned(domain, guest_of(domain, process.threads.pid), connection, assign_counters=True)
        carried_out(plan, connection)
        host = connection.look(load_ledger(connection.run))
        paths = [group.path for group in plan.groups]
        process.work()
        first = read_counters(connection.resctrl, host, paths)
        process.work()
        second = read_counters(connection.resctrl, host, paths)
        features = {"L3": next(m.features for m in host.monitors if m.name == "L3_MON")}
        sampler = Sampler(lambda: connection.resctrl, lambda: features, lambda *_: paths)
        samples = [sampler.sample()]
        process.work()
        samples.append(sampler.sample())
        watched = _watched(process, sys.argv[1], connection.run)
        exported = _exported(process, connection.run)
        recorded, reported = _recorded(process, connection.run)
        connection.resctrl.rmdir(paths[-1])
        connection.resctrl.mkdir(paths[-1])
        samples += [sampler.sample(), sampler.sample()]
    grown = {path: _rates(samples[0], samples[1], path) for path in paths}
    gone = paths[-1] not in samples[2].groups
    replaced = _rates(samples[1], samples[3], paths[-1])
    outcome = Outcome(first, second, grown, gone, replaced, watched, exported, recorded, reported)
    sys.stdout.buffer.write(documents.encode(outcome))


def _watched(process: GuestProcess, domain: str, run: Path) -> Ran:
    """The command, whose waits are the vCPUs' work."""
    words = ("monitor", domain, "--run", str(run), "--interval", "0.1", "--count", "2", "--json")
    with mock.patch.object(UntilStopped, "wait", side_effect=lambda _: process.work()):
        return run_here(*words)


def _exported(process: GuestProcess, run: Path) -> tuple[str, ...]:
    """The metrics at two moments, as a child process without root makes them; the vCPUs work in between."""
    load_client()
    for directory in Path(sys.executable).resolve().parents:
        directory.chmod(directory.stat().st_mode | 0o111)  # other users may run the interpreter
    reading, writing = os.pipe()
    if not os.fork():
        try:
            texts = _exported_without_root(process, run)
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(msgspec.json.encode(texts))
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return msgspec.json.decode(pipe.read(), type=tuple[str, ...])


def _exported_without_root(process: GuestProcess, run: Path) -> list[str]:
    os.setgroups([])
    os.setresgid(_OTHER_USER, _OTHER_USER, _OTHER_USER)
    os.setresuid(_OTHER_USER, _OTHER_USER, _OTHER_USER)
    texts = []
    with Observer(Location(run=run), Selection(), 0.001) as observer:
        for _ in range(2):
            process.work()
            texts.append(text_of(samples_of(observer.seen())).decode())
    return texts


def _recorded(process: GuestProcess, run: Path) -> tuple[tuple[Moment, ...], Ran]:
    """The history of three looks, between which the vCPUs work, and the report of it."""
    db = Path("/run/history.db")
    with Recorder(db) as recorder, Watcher(Location(run=run), Selection(foreign=True)) as watcher:
        recording = Recording(recorder, lambda _level, text: sys.stderr.write(f"{text}\n"))
        record(watcher, recording, ((process.work(), tick)[1] for tick in range(3)), lambda: None)
    with History(db) as history:
        return tuple(history.moments()), run_here("report", "--since", "1h", "--db", str(db), "--run", str(run))


def _rates(before: Sample, after: Sample, path: str) -> dict[str, float | None]:
    group = after.groups[path]
    columns = [f"{column.event} {column.id}" for column in group.group.columns]
    return dict(zip(columns, rates(before.groups[path], group), strict=True))


if __name__ == "__main__":
    main()
