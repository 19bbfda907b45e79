"""``cachetune noisy`` on a history; tests/guests has it on live counters."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from msgspec.structs import replace

from cachetune.cli.main import command
from cachetune.errors import HistoryError, InputError
from cachetune.watch.history import Recorder
from cachetune.watch.usage import Moment, Usage
from tests.watch.neighbors import calm, crowd, moments, use


@pytest.fixture
def noisy(tmp_path: Path) -> Callable[..., Result]:
    """Record these moments, one each second, and rank them."""

    def run(seconds: list[list[Usage]] | list[Moment], *words: str, since: str = "@1000") -> Result:
        db = tmp_path / "history.db"
        found = seconds if seconds and isinstance(seconds[0], Moment) else moments(*seconds)  # type: ignore[arg-type]
        with Recorder(db) as recorder:
            for moment in found:
                recorder.add(moment)  # type: ignore[arg-type]
        words = ("noisy", "--since", since, "--db", str(db), *words)
        result = CliRunner().invoke(command, words, env={"COLUMNS": "120"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def test_it_prints_who_takes_from_whom_with_the_command_that_contains_it(noisy: Callable[..., Result]) -> None:
    result = noisy([crowd()] * 5)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0].startswith("batch takes from the default group and web: about ")
    assert lines[1] == (
        "  L3 cache 0: 82% of the bandwidth (3.91 GiB/s); holds 17 MiB, an equal share of its 11 ways is 7.33 MiB"
    )
    assert lines[3].startswith("    web: shares 11 ways, holds 3 MiB, reads about ")
    assert lines[4] == "  To contain it: cachetune set batch --l3 0=3ways --shrink-default"
    assert [line.split("  ")[0] for line in lines[7:10]] == ["batch", "web", "the default group"]
    assert lines[-1] == "Estimated from 5 samples in 4 s."


def test_no_guest_is_named_on_a_calm_host_and_it_says_why(noisy: Callable[..., Result]) -> None:
    result = noisy([calm()] * 5)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "No guest or group takes from others, by 5 samples in 4 s."
    assert lines[-1] == "Without evidence: L3 cache 0: no two guests or groups share ways."


def test_what_a_guest_takes_or_loses_can_be_chosen(noisy: Callable[..., Result]) -> None:
    def named(*words: str) -> tuple[int, list[str]]:
        result = noisy([crowd()] * 5, "--json", *words)
        return result.exit_code, [one["name"] for one in json.loads(result.stdout)["ranked"]]

    assert named() == (1, ["batch", "web", "."])
    assert named("--guest", "web") == (1, ["batch", "web"])
    assert named("--guest", "batch") == (1, ["batch"])
    with pytest.raises(InputError, match="guest 'mail' has no group with counters"):
        noisy([crowd()] * 5, "--guest", "mail")


def test_too_few_samples_are_no_result(noisy: Callable[..., Result]) -> None:
    result = noisy([crowd()] * 2)
    assert result.exit_code == 2
    assert "2 samples with rates, and at least 3 are needed" in result.stdout


def test_without_readings_from_that_time_it_is_an_error(noisy: Callable[..., Result], tmp_path: Path) -> None:
    for seconds in ([], [crowd()] * 5):
        with pytest.raises(InputError, match="has no readings from that time"):
            noisy(seconds, since="@2000")
    with pytest.raises(HistoryError):
        raise_of(["noisy", "--since", "1h", "--db", str(tmp_path / "none")])


def raise_of(words: list[str]) -> None:
    exception = CliRunner().invoke(command, words).exception
    assert exception
    raise exception


def test_live_and_recorded_time_exclude_each_other_and_a_short_time_is_refused() -> None:
    both = CliRunner().invoke(command, ["noisy", "--for", "5s", "--since", "1h"])
    assert both.exit_code == 2
    assert "pass either" in both.output
    with pytest.raises(InputError, match="has fewer than 3 intervals of 1 s"):
        raise_of(["noisy", "--for", "2s"])


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        # two of its groups share: the first is named
        (
            [
                use(".", 4, 900),
                use("cachetune-batch-vcpus_0", 15, 3000, guest="batch"),
                use("cachetune-batch-threads_emulator", 3, 1000, guest="batch"),
            ],
            "cachetune set batch --threads emulator --l3 0=5ways --shrink-default",
        ),
        # libvirt's group
        (
            [use(".", 4, 900, mask=0xFF), use("qemu-1-batch-vcpus_0", 17, 4000, guest="batch")],
            "cachetune set batch --l3 0=7ways --shrink-default --adopt",
        ),
        # a name that a shell would change
        (
            [use(".", 4, 900), use("cachetune-x-vcpus_0", 18, 4000, guest="x; reboot")],
            "cachetune set 'x; reboot' --l3 0=5ways --shrink-default",
        ),
        # the default group gets what no other group has
        (
            [use(".", 19, 4000), use("cachetune-web-vcpus_0", 3, 800, guest="web", mask=0x01F)],
            "cachetune default --l3 0=6ways",
        ),
    ],
)
def test_the_command_fits_the_groups_and_the_free_ways(
    usages: list[Usage], expected: str, noisy: Callable[..., Result]
) -> None:
    first = json.loads(noisy([usages] * 5, "--json").stdout)["ranked"][0]
    assert (first["noisy"], first["command"]) == (True, expected)
    assert shlex.split(expected)[0] == "cachetune"


def test_equal_caches_share_an_option(noisy: Callable[..., Result]) -> None:
    both = [replace(usage, cache_id=i) for i in (0, 1) for usage in crowd()]
    assert "cachetune set batch --l3 0-1=3ways --shrink-default" in noisy([both] * 5).stdout


def test_a_foreign_group_is_named_without_a_command(noisy: Callable[..., Result]) -> None:
    usages = [use(".", 4, 900), use("COS1", 18, 4000)]
    result = noisy([usages] * 5)
    assert result.exit_code == 1
    assert "COS1 takes from the default group" in result.stdout
    assert "It cannot be contained with a command: it is of another program" in result.stdout


def test_hostile_names_cannot_control_the_terminal(noisy: Callable[..., Result]) -> None:
    usages = [use(".", 4, 900), use("cachetune-x-vcpus_0", 18, 4000, guest="\x1b[2J$(reboot)")]
    out = noisy([usages] * 5).stdout
    assert "\x1b" not in out
    assert "\\x1b[2J$(reboot) takes from" in out
