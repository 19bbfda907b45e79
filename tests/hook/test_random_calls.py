"""Random lives of guests beside a hook that is killed: some of the episodes of ``make soak``."""

from pathlib import Path

import pytest

from tests.hook.random_calls import Counts, episode

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("episodes", [10, pytest.param(30, marks=pytest.mark.soak)])
def test_no_ways_are_shared_and_nothing_is_left_when_all_guests_have_ended(episodes: int, tmp_path: Path) -> None:
    total = Counts()
    for number in range(episodes):
        total.add(episode(f"1 {number}", tmp_path / str(number)))
    assert min(total.deaths, total.starts) > 1.6 * episodes
    assert min(total.deaths_of_recover, total.canceled, total.refused) > episodes / 3
