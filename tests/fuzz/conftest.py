"""Nothing here needs to survive a power failure."""

import pytest


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing to disk takes most of the time otherwise."""
    monkeypatch.setattr("os.fsync", lambda _: None)
