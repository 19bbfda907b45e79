"""``monitor`` marks a control group's sums that lack a group, and names the groups."""

import json
from pathlib import Path

from click.testing import CliRunner

from cachetune.cli.main import command
from tests.host.trees import below, make
from tests.plan.counted import ALL
from tests.watch.test_partial import FEW, M0, M1, WEB, counters


def monitor(root: Path, *words: str) -> str:
    ran = CliRunner().invoke(
        command, ["monitor", "--resctrl", str(root), *words], env={"COLUMNS": "140"}, catch_exceptions=False
    )
    assert ran.exit_code == 0, ran.stderr
    return ran.stdout


def test_a_partial_sum_is_marked_and_the_groups_that_it_lacks_are_named(tmp_path: Path) -> None:
    page = monitor(make(tmp_path, FEW))
    assert page.count("0 B*") == 4
    assert "\n* without cachetune-web-vcpus_0 and cachetune-web-vcpus_1, which have no counter\n" in page


def test_only_partial_sums_are_marked(tmp_path: Path) -> None:
    counted = below(M0, counters(ALL, "3", "2", "11")) | below(M1, counters(ALL, "1", "1", "12"))
    assert "*" not in monitor(make(tmp_path, FEW | counted))


def test_the_document_says_which_values_are_partial(tmp_path: Path) -> None:
    document = json.loads(monitor(make(tmp_path, FEW), "--json"))
    marked = {reading["path"] for reading in document["monitors"] for c in reading["counters"] if c["partial"]}
    assert marked == {WEB}
