"""What a round reads while nothing changes: two small files of each guest, and the host's files."""

import os
import time
from pathlib import Path

import pytest

from cachetune.agent.reconcile import Clock, Inputs, Reconciler
from cachetune.guests.sources.options import SourceOptions
from cachetune.guests.tuning_files import TuningFilesReader
from cachetune.guests.watcher import GuestWatcher
from cachetune.host.remembered import RememberedHost
from tests.agent.live import TUNING
from tests.agent.machine import OPTIONS, Machine
from tests.guests.lookalike import add_process


def _opened_in_a_round(directory: Path, guests: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are opened in a round in which nothing has changed."""
    machine, now = Machine(directory / "run"), [1000.0]
    for name in ("proc", "qemu", "guests.d"):
        (directory / name).mkdir(parents=True)
    for number in range(guests):
        name, pid = f"guest{number}", 5000 + 10 * number
        threads = {pid: "qemu-kvm"} | {pid + 1 + vcpu: f"CPU {vcpu}/KVM" for vcpu in range(4)}
        add_process(directory / "proc", pid, threads, arguments=("qemu-kvm", "-name", name))
        (directory / "guests.d" / f"{name}.xml").write_text(TUNING.format(vcpus="0-3", kib=3 * 2304))
        for tid in threads:
            machine.sim.add_task(tid)
    options = SourceOptions(proc=directory / "proc", libvirt_run=directory / "qemu", cgroup=directory / "cgroup")
    inputs = Inputs(
        connection=lambda: machine.connection,
        files=TuningFilesReader(directory / "guests.d", clock=lambda: time.time() + 60).read,
        guests=GuestWatcher(options, clock=lambda: now[0]).look,
        read_host=RememberedHost().read,
    )
    reconciler = Reconciler(inputs, OPTIONS, Clock(lambda: now[0], lambda: now[0]), lambda *_: None)
    for _ in range(6):
        now[0] += 5
        reconciler.round()
    states = [status.state for status in reconciler.statuses.values()]
    assert states.count("placed") == 3
    assert states.count("failed") == guests - 3
    opened: list[str] = []
    real = os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", lambda path, *more, **others: opened.append(str(path)) or real(path, *more, **others))
        now[0] += 5
        reconciler.round()
    return opened


def test_a_guest_costs_two_files_a_round_however_many_threads_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = _opened_in_a_round(tmp_path / "few", 8, monkeypatch)
    many = _opened_in_a_round(tmp_path / "many", 16, monkeypatch)
    assert len(many) - len(few) == 2 * (16 - 8)
    assert {Path(path).name for path in many if "/proc/" in path} == {"stat", "cmdline"}
    assert not [path for path in many if "guests.d" in path]
