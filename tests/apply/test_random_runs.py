"""Several guests on one host, runs that fail and die, other programs: some of the episodes of ``make soak``."""

from pathlib import Path

from tests.apply.random_runs import Counts, episode


def test_whatever_happens_to_many_guests_the_host_is_as_it_was_when_all_have_gone(tmp_path: Path) -> None:
    total = Counts()
    for number in range(40):
        total.add(episode(f"1 {number}", tmp_path / str(number)))
    assert min(total.runs, total.failures, total.deaths, total.deaths_of_recover) > 50


def test_a_way_back_that_fails_itself_is_gone_again_from_there_step_by_step(tmp_path: Path) -> None:
    """Found by a soak: what was undone late moved a thread on that was home already, out of its monitor group."""
    episode("797434421 2376", tmp_path)
