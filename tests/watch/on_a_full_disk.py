"""Record on a disk of 1 MiB until it is full, and again once there is room. Run it in a private mount namespace."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cachetune.errors import HistoryError
from cachetune.watch.history import History, Recorder
from cachetune.watch.usage import Moment
from tests.watch.moments import moments

MOST_LOST = 30


def main(directory: Path) -> None:
    """Print how many moments the history has, if they are those that were recorded."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tiny", directory], check=True)  # noqa: S607
    path, ballast, other = (directory / name for name in ("history.db", "ballast", "other.db"))
    ballast.write_bytes(bytes(300 << 10))
    with Recorder(path) as recorder:
        made = moments(4000, groups=20)
        kept = [*recorded(recorder, made)]
        ballast.unlink()
        more = [*recorded(recorder, made)]
    assert kept
    assert more
    with History(path) as history:
        assert [*history.moments()] == [*kept, *more]
        assert history._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    fill(ballast)
    refused_on_a_full_disk(other)
    for file in directory.glob("history.db*"):
        file.unlink()
    with Recorder(other) as recorder:
        recorder.add(kept[0])
    print(f"{len(kept) + len(more)} moments, as many as were recorded")  # noqa: T201 - for the test that runs this


def recorded(recorder: Recorder, made: Iterator[Moment]) -> Iterator[Moment]:
    """Record until MOST_LOST moments are lost; yield the others."""
    lost = 0
    while lost < MOST_LOST:
        moment = next(made)
        try:
            recorder.add(moment)
        except HistoryError as error:
            lost += "full" in str(error)
        else:
            yield moment


def fill(path: Path) -> None:
    """Take the last byte of the disk."""
    with contextlib.suppress(OSError), path.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def refused_on_a_full_disk(path: Path) -> None:
    try:
        Recorder(path)
    except HistoryError:
        assert not path.exists()
        return
    raise AssertionError("a history was made on a full disk")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
