"""Guests that have ended, until their groups are removed."""

import json
from pathlib import Path

import pytest

from cachetune.apply.state import departures, per_guest
from cachetune.errors import StateFileError


def test_a_departure_is_on_record_until_it_is_forgotten(tmp_path: Path) -> None:
    assert departures.departed(tmp_path) == ()
    for name in ("web", "db", "web"):
        departures.record(tmp_path, name)
    assert sorted(departures.departed(tmp_path)) == ["db", "web"]
    departures.forget(tmp_path, "web")
    departures.forget(tmp_path, "web")
    assert departures.departed(tmp_path) == ("db",)


def test_a_departure_is_forgotten_with_the_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    departures.record(tmp_path, "web")
    monkeypatch.setattr(per_guest, "boot_id", lambda: "another")
    assert departures.departed(tmp_path) == ()


@pytest.mark.parametrize("name", ["../../etc/passwd", "x" * 300, "a/b", "дом", "\udcff"])
def test_any_name_stays_in_the_run_directory(name: str, tmp_path: Path) -> None:
    departures.record(tmp_path, name)
    (file,) = tmp_path.rglob("*.json")
    assert file.parent == tmp_path / "departed"
    assert departures.departed(tmp_path) == (name if name != "\udcff" else "\ufffd",)
    departures.forget(tmp_path, name)
    assert departures.departed(tmp_path) == ()


@pytest.mark.parametrize("text", ["", "{", '{"boot_id": 7}', '{"boot_id": "x", "guest": ""}'])
def test_what_is_not_a_departure_says_nothing(text: str, tmp_path: Path) -> None:
    departures.record(tmp_path, "web")
    (file,) = (tmp_path / "departed").iterdir()
    file.write_text(text.replace('"x"', json.dumps(per_guest.boot_id())))
    assert departures.departed(tmp_path) == ()


def test_a_departure_that_cannot_be_written_is_an_error_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "departed").write_text("a file in the way")
    with pytest.raises(StateFileError) as caught:
        departures.record(tmp_path, "web")
    assert Path(caught.value.path).is_relative_to(tmp_path)
    assert caught.value.operation == "write"
