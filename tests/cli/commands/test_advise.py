"""cachetune advise: from a history, and measuring real QEMUs on a mounted resctrl to the end, or until a signal."""

import json
import os
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from cachetune.cbm import Cbm
from cachetune.cli.main import command
from cachetune.errors import CachetuneError
from cachetune.watch.history import Recorder
from cachetune.watch.usage import Cache, Moment, Usage
from tests import waiting
from tests.cli.terminal import converse
from tests.guests.qemu import running
from tests.sim.fuse.mounted import CACHETUNE, ROOT, Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.xdist_group("advise")  # one mount with two QEMUs

MIB = 1 << 20
NOON = 1_800_000_000.0
WORKLOADS = """
[[workload]]
guest = "web-*"
threads = "*"
kind = "reuse"
accesses = "2GB/s"
working_set = "6MiB"
fresh = 0.01

[[workload]]
guest = "batch-*"
threads = "*"
kind = "streaming"
accesses = "1GB/s"
"""


BEFORE = ("3c", "3")
BORROWING = "7c"


class Place:
    """A mounted host with two guests, batch and web, which have two and four ways of L3 cache 0."""

    def __init__(self, mount: Mounted, directory: Path, web: str, batch: str) -> None:
        self.mount, self.directory, self.web, self.batch = mount, directory, web, batch
        self.run = directory / "run"
        self.where = ("--resctrl", mount.root, "--sysfs", directory / "sys", "--run", self.run)

    def cachetune(self, *words: object) -> "subprocess.CompletedProcess[str]":
        return run(*map(str, words), *self.where, stdin=subprocess.DEVNULL)

    def mask(self, guest: str) -> str:
        text = self.mount.read(f"cachetune-{guest}/schemata")
        return text.partition("L3:0=")[2].partition(";")[0].lstrip("0")

    def masks(self) -> tuple[str, str]:
        return self.mask(self.web), self.mask(self.batch)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    need_fuse()
    directory, tag = tmp_path_factory.mktemp("advise"), uuid.uuid4().hex[:8]
    (directory / "workloads.toml").write_text(WORKLOADS)
    options = ("--sysfs", directory / "sys", "--workload", directory / "workloads.toml")
    web, batch = f"web-{tag}", f"batch-{tag}"
    for name in (web, batch):
        (directory / name).mkdir()
    with (
        mounted(directory, *options, profile="skylake-2s") as mount,
        running(directory / web, web, uuid=str(uuid.uuid4())),
        running(directory / batch, batch, uuid=str(uuid.uuid4())),
    ):
        place = Place(mount, directory, web, batch)
        for name, ways in ((batch, 2), (web, 4)):
            made = place.cachetune("set", name, "--all", "--l3", f"0={ways}ways", "--shrink-default", "--yes")
            assert made.returncode == 0, made.stderr
        yield place


@pytest.fixture
def at(place: Place) -> Place:
    """The place as each test finds it, whichever came before: one way is free, beside those of web."""
    for path, mask in ((".", "780"), (f"cachetune-{place.web}", "3c"), (f"cachetune-{place.batch}", "3")):
        place.mount.write(f"{path}/schemata", f"L3:0={mask}\n")
    assert place.masks() == BEFORE
    return place


@pytest.fixture
def measuring(at: Place) -> Iterator["subprocess.Popen[str]"]:
    """A measurement of web that takes an hour, and has given it the free way beside its own."""
    words = [*CACHETUNE, "advise", "--measure", "--guest", at.web, "--budget", "1h", "--yes", *map(str, at.where)]
    with subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True) as it:
        try:
            waiting.until(lambda: at.mask(at.web) == BORROWING, "advise", lambda: at.mask(at.web), pids=[it.pid])
            yield it
        finally:
            it.kill()


@pytest.mark.slow
def test_a_guest_is_measured_and_has_its_ways_of_before_again(at: Place) -> None:
    shown = at.cachetune("advise", "--measure", "--guest", at.web, "--budget", "10s", "--yes")
    assert shown.returncode == 0, shown.stderr
    assert f"{at.web}: memory traffic by ways of L3 cache 0" in shown.stdout
    found = re.search(f"To apply it: cachetune set {at.web} --l3 0=([234])ways\n", shown.stdout)
    assert found, shown.stdout
    ways = int(found[1])
    size = {2: "size='4608' unit='KiB'", 3: "size='6912' unit='KiB'", 4: "size='9' unit='MiB'"}[ways]
    assert f"<cache id='0' level='3' type='both' {size}/>" in shown.stdout
    assert at.masks() == BEFORE
    logged = json.loads(run("log", "--json", "--run", at.run, stdin=subprocess.DEVNULL).stdout)
    assert logged["changes"][-1]["program"] == "advise"
    assert not (at.run / "measurement.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_a_measurement_with_the_ways_of_before(
    at: Place, measuring: "subprocess.Popen[str]", name: str
) -> None:
    measuring.send_signal(getattr(signal, name))
    _, said = measuring.communicate()
    assert measuring.returncode == 1
    # The first words are there if the signal came during a change rather than between two.
    early = "(the measurement has ended early: )?"
    assert re.fullmatch(f"error: {early}stopped by {name}\n    hint: the ways of before are restored\n", said)
    assert at.masks() == BEFORE
    assert not (at.run / "measurement.json").exists()


@pytest.mark.slow
def test_a_measurement_that_is_killed_is_restored_by_recover(at: Place, measuring: "subprocess.Popen[str]") -> None:
    other = ("set", at.web, "--l3", "0=2ways", "--yes")
    refused = at.cachetune(*other)
    first = f"error: guest '{at.web}' has other ways for a measurement by process {measuring.pid} [CT509]"
    assert (refused.returncode, refused.stderr.splitlines()[-2]) == (2, first)
    measuring.kill()
    measuring.wait()
    assert at.mask(at.web) == BORROWING
    refused = at.cachetune(*other)
    hint = "    hint: the process has ended: run 'cachetune recover' to restore the ways of before"
    assert refused.stderr.splitlines()[-2:] == [first, hint]
    recovered = at.cachetune("recover", "--yes")
    assert (recovered.returncode, at.masks()) == (0, BEFORE), recovered.stderr
    assert f"the measurement of {at.web} was interrupted; the ways of before are restored" in recovered.stderr


@pytest.mark.slow
def test_a_terminal_shows_what_will_be_done_and_prompts(at: Place) -> None:
    words = ("advise", "--measure", "--guest", at.web, "--budget", "8s", *at.where)
    code, shown = converse("n", *words)
    assert code == 2
    flat = " ".join(shown.split())
    assert re.search(
        f"cachetune-{at.web} gets 1 to [45] ways of L3 cache 0, .* and then its 4 ways [(]3c[)] back", flat
    )
    assert shown.endswith("Measure? [y/N]: n\nNothing was changed.\n")
    code, shown = converse("y", *words)
    assert code == 0
    assert re.search(f"{at.web} with [45] ways", shown)  # the progress bar
    assert "Confidence:" in shown
    assert at.masks() == BEFORE


@pytest.mark.slow
def test_guests_divide_the_cache_as_a_plan_that_apply_takes(at: Place) -> None:
    plan = at.directory / "plan.json"
    words = ("--guest", at.web, "--guest", at.batch, "--budget", "24s", "--yes", "--json", "-o", plan)
    measured = at.cachetune("advise", "--measure", *words)
    assert measured.returncode == 0, measured.stderr
    document = json.loads(measured.stdout)
    knees = {curve["guest"]: curve["knee_ways"] for curve in document["curves"]}
    assert abs(knees[at.web] - 3) <= 1  # the clock of a loaded machine is part of what is measured
    assert document["divided_ways"] == 7  # theirs, and the free one
    ways = {each["guest"]: each["ways"] for each in document["suggestions"]}
    assert sum(ways.values()) == 7
    assert at.masks() == BEFORE  # nothing is applied
    assert at.cachetune("apply", plan, "--yes").returncode == 0
    assert {name: int(at.mask(name), 16).bit_count() for name in ways} == ways


# -- without a host


def invoke(*words: object) -> Result:
    return CliRunner().invoke(command, ["advise", *map(str, words)])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--budget", "1min"), "--budget is for a measurement"),
        (("--cache", "0"), "--cache is for a measurement"),
        (("-o", "plan.json"), "--output is for a measurement"),
        (("--guest", ""), "the name of --guest is empty"),
        (("--measure",), "--measure needs to know whom to measure"),
        (("--measure", "--guest", "web", "--since", "1h"), "a measurement does not use the history"),
        (("--measure", "--guest", "no-such-guest"), "guest 'no-such-guest' is not running on this host"),
        (("--since", "soon"), "'soon' is not a point in time"),
        (("--db", "/nonexistent/history.db"), "cannot read history /nonexistent/history.db"),
    ],
)
def test_contradictions_are_refused(words: tuple[str, ...], reason: str) -> None:
    result = invoke(*words)
    assert isinstance(result.exception, CachetuneError)
    assert reason in str(result.exception)
    assert result.exception.exit_code == 2


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Three hours of three guests: web needs half of its ways, db more than it has, mail shares those of web."""
    path = tmp_path / "history.db"
    with Recorder(path) as recorder:
        for k in range(0, 3 * 3600, 30):
            usages = (
                usage("web", 0x00F, 1.6, 40), usage("db", 0x030, 2.0, 900), usage("mail", 0x0C0, 0.5, 5),
                usage(None, 0xF80, 3.0, 50),
            )  # fmt: skip
            recorder.add(Moment(NOON + k, (Cache(0, 12 * MIB, 12),), usages))
    return path


def usage(guest: str | None, mask: int, held: float, rate: float) -> Usage:
    path = "." if guest is None else f"cachetune-{guest}-vcpus_0-1"
    return Usage(path, guest, "control", 0, Cbm(mask), round(held * MIB), rate * MIB, rate * MIB)


def test_a_history_is_shown_as_a_table_and_a_sentence_on_each_group(db: Path) -> None:
    result = invoke("--db", db)
    assert result.exit_code == 0, result.exception
    assert [" ".join(line.split()) for line in result.stdout.splitlines()[1:6]] == [
        "GROUP CACHE WAYS SIZE MEDIAN 95% MOST FULL PER SECOND",
        "web, vCPUs 0-1 0 4 4 MiB 1.6 MiB 1.6 MiB 1.6 MiB 0% 40 MiB",
        "db, vCPUs 0-1 0 2 2 MiB 2 MiB 2 MiB 2 MiB 100% 900 MiB",
        "mail, vCPUs 0-1 0 2 2 MiB 512 KiB 512 KiB 512 KiB 0% 5 MiB",
        "",
    ]
    text = result.stdout
    assert "it never filled its 4 ways, and held at most 1.6 MiB: 2 ways (2 MiB) would do." in text
    assert "Confidence: high: 360 readings over 2 h 59 min." in text
    assert "  cachetune set web --vcpus 0-1 --l3 0=2ways\n" in text
    assert "  <cache id='0' level='3' type='both' size='2' unit='MiB'/>\n" in text
    assert "it filled its 2 ways in 100% of the readings, with 900 MiB/s of memory traffic" in text
    assert "  cachetune advise --measure --guest db --cache 0\n" in text
    assert "it shares ways with the default group, so what it needs alone is not known." in text


def test_the_document_has_the_same_and_can_be_limited_to_a_guest_and_a_time(db: Path) -> None:
    document: dict[str, Any] = json.loads(invoke("--db", db, "--guest", "web", "--json").stdout)
    (group,) = document["groups"]
    assert (group["guest"], group["verdict"], group["suggested_ways"], group["samples"]) == ("web", "fewer", 2, 360)
    document = json.loads(invoke("--db", db, "--since", f"@{NOON + 3600}", "--json").stdout)
    assert [each["samples"] for each in document["groups"]] == [240] * 3
    assert document["since"] == NOON + 3600


def test_what_the_history_does_not_have_is_said(db: Path) -> None:
    result = invoke("--db", db, "--guest", "unknown")
    assert str(result.exception) == f"{db} has no present groups of guest 'unknown'"
    later = invoke("--db", db, "--since", f"@{NOON + 1e6}")
    assert (later.exit_code, later.stdout.split("history.db ")[1]) == (
        0,
        "has no readings of that time, so nothing can be said.\n",
    )
