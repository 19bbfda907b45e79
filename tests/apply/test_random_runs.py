"""Several guests on one host, runs that fail and die, other programs: some of the episodes of ``make soak``."""

from pathlib import Path

from tests.apply.random_runs import Counts, episode


def test_whatever_happens_to_many_guests_the_host_is_as_it_was_when_all_have_gone(tmp_path: Path) -> None:
    total = Counts()
    for number in range(40):
        total.add(episode(f"1 {number}", tmp_path / str(number)))
    assert min(total.runs, total.failures, total.deaths, total.deaths_of_recover) > 50
