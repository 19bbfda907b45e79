"""Random lives of guests beside a hook that is killed: some of the episodes of ``make soak``."""

from pathlib import Path

import pytest

from tests.hook.random_calls import Counts, episode

pytestmark = pytest.mark.slow


def test_no_ways_are_shared_and_nothing_is_left_when_all_guests_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda _: None)
    total = Counts()
    for number in range(30):
        total.add(episode(f"1 {number}", tmp_path / str(number)))
    assert min(total.deaths, total.starts) > 50
    assert min(total.deaths_of_recover, total.canceled, total.refused) > 10
