"""``record`` and ``report`` beside a real QEMU on a mounted simulated host: its ways, and what changed them."""

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from cachetune.watch.history import History
from cachetune.watch.usage import Moment, Usage
from tests import waiting
from tests.guests.qemu import running
from tests.guests.test_real_qemu_compaction import Host, group
from tests.sim.fuse.mounted import CACHETUNE, ROOT, mounted, need_fuse, run

pytestmark = pytest.mark.slow

NAME = f"recorded{os.getpid()}"


def of_guest(moment: Moment | None) -> Usage | None:
    """What the guest used of cache 0; None while it has no group."""
    usages = moment.usages if moment else ()
    return next((usage for usage in usages if (usage.guest, usage.cache_id) == (NAME, 0)), None)


def test_a_guest_is_recorded_from_its_start_to_its_end_and_reported_with_its_changes(tmp_path: Path) -> None:
    need_fuse()
    (tmp_path / NAME).mkdir()
    db, page = tmp_path / "history.db", tmp_path / "report.html"
    with (
        mounted(tmp_path / "mount", "--tids", "real", profile="skylake-2s") as mount,
        running(tmp_path / NAME, NAME) as qemu,
    ):
        host = Host(mount, tmp_path)
        where = ("--resctrl", str(mount.root), "--run", str(tmp_path / "run"), "--db", str(db))
        words = [*CACHETUNE, "record", "--interval", "0.2", *where]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as recorder:

            def last() -> Moment | None:
                if not db.exists():
                    return None
                with History(db) as history:
                    return history.last()

            def until(mask: int | None) -> None:
                waiting.until(
                    lambda: (now := last()) and (usage.mask if (usage := of_guest(now)) else None) == mask,
                    f"record the mask {mask}",
                    pids=[recorder.pid, mount.server],
                )

            try:
                until(None)
                assert host.tune("apply", qemu, 2, "--shrink-default", "--yes").returncode == 0
                until(0b11)
                assert host.cachetune("set", NAME, "--l3", "0=4ways", "--shrink-default", "--yes").returncode == 0
                until(0b1111)
                assert host.cachetune("remove", "--guest", NAME, "--yes").returncode == 0
                until(None)
                recorder.terminate()
                _, said = recorder.communicate()
            finally:
                recorder.kill()
        assert recorder.returncode == 0, said
        done = run("report", "--since", "1h", *where, "-o", page)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        text = run("report", "--since", "1h", "--guest", NAME, *where).stdout
    with History(db) as history:
        usages = [*map(of_guest, history.moments())]
    masks = [mask for mask, _ in itertools.groupby(usage.mask if usage else None for usage in usages)]
    assert masks == [None, 0b11, 0b1111, None]
    assert {usage.path for usage in usages if usage} == {group(NAME)}
    assert max(usage.total_bytes_per_second or 0 for usage in usages if usage) > 0
    assert f"<bdi>{NAME}</bdi>" in page.read_text()
    assert page.read_text().count("<td>done</td>") == 3
    rows = [line.split() for line in text.splitlines() if " done " in line]
    assert [(row[2], row[4]) for row in rows] == [("apply", NAME), ("set", NAME), ("remove", NAME)]
    assert [line for line in text.splitlines() if line.startswith(NAME)]
