"""The hook's log: what a report and a lost standard error become."""

import sys

import pytest

from cachetune.apply.report import Report
from cachetune.hook.log import HookLog
from cachetune.plan.steps import MoveTasks


def test_a_rollback_is_logged_with_everything_that_could_not_be_undone(capsys: pytest.CaptureFixture[str]) -> None:
    log = HookLog("web", "prepare")
    log.report(
        Report(
            outcome="rollback incomplete",
            machine_names=("qemu-1-web",),
            error="cannot mkdir web: ENOSPC",
            hint="remove a group",
            undo_errors=("cannot rmdir web: EBUSY",),
        )
    )
    assert capsys.readouterr().err.splitlines() == [
        "cachetune-hook: prepare of web: error: cannot mkdir web: ENOSPC; remove a group",
        "cachetune-hook: prepare of web: error: not undone: cannot rmdir web: EBUSY; run 'cachetune recover'",
    ]
    assert log.failed


def test_a_run_that_is_done_is_logged_with_its_steps_and_notes(capsys: pytest.CaptureFixture[str]) -> None:
    log = HookLog("web", "release")
    steps = (MoveTasks(".", "qemu-1-web-vcpus_0", (4711,)),)
    log.report(Report(outcome="done", machine_names=("qemu-1-web",), done=steps, notes=("a thread has ended",)))
    moved, noted = capsys.readouterr().err.splitlines()
    assert "qemu-1-web-vcpus_0" in moved
    assert noted == "cachetune-hook: release of web: note: a thread has ended"
    assert not log.failed


def test_without_a_standard_error_the_hook_still_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    log = HookLog("web", "prepare")
    log.problem("no room")
    assert log.failed
