"""Another program that acts on the same resctrl before each change of an apply, and while a file is open.

``python -m … DOMAIN.xml``. Each interference happens once for each change, just before it.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from cachetune import documents
from cachetune.apply.run import apply
from cachetune.apply.state import journal
from cachetune.apply.state.ledger import load_ledger
from cachetune.errors import ResctrlError
from cachetune.host import SysfsResctrl, read_host
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.faults import before_change
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal

FOREIGN = tree.RESCTRL / "foreign"
MASK = "L3:0=400\n"  # the way that is shared with I/O, which the default group keeps
Groups = dict[str, dict[str, str]]


class Meddled(msgspec.Struct, frozen=True):
    """One apply and what the other did before its change ``number``: how it ended, and the tree right after it.

    ``theirs`` is whether the foreign change was left alone. ``again`` is what differs from the original tree after the
    other program has cleaned up and, if apply was done, its groups have been removed.
    """

    interference: str
    number: int
    outcome: str
    error: str
    ours: tuple[str, ...]
    theirs: bool
    owned: tuple[str, ...]
    journal: bool
    again: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """``written`` was refused as its group went away with its file open; ``read`` is the error of such a read.

    ``seen`` are the groups of a host that was read while one of them went away.
    """

    meddled: tuple[Meddled, ...]
    changes: int
    written: Meddled
    read: str
    seen: tuple[str, ...]


def make_group() -> None:
    """A foreign group, with a way that it chose itself."""
    FOREIGN.mkdir()
    (FOREIGN / "schemata").write_text(MASK)


def remove_group() -> None:
    """The control groups of ours, if any."""
    for path in _ours():
        path.rmdir()


def change_masks() -> None:
    """Every control group of ours, and the default one, have the default group's lowest way less, or just it."""
    for path in (*_ours(), tree.RESCTRL):
        (path / "schemata").write_text("L3:0=7fe\n")


INTERFERENCES: tuple[Callable[[], None], ...] = (make_group, remove_group, change_masks)


class Scene:
    """A guest and its plan."""

    def __init__(self, domain: Path, pid: int) -> None:
        self.connection = place_on(Path("/run/meddlers"))
        self.domain = domain_in(domain)
        guest = guest_of(self.domain, pid)
        self.tids = {thread.tid for thread in guest.threads}
        self.plan = planned(self.domain, guest, self.connection)
        self.before = self.look()

    def look(self) -> dict[str, str]:
        """The groups."""
        found = {}
        for path, files in tree.groups().items():
            tids = [tid for tid in files["tasks"].split() if int(tid) in self.tids]
            found[path] = f"{files | {'tasks': ' '.join(tids)}}"
        return found

    def meddled(self, interference: str, number: int) -> Meddled:
        """Apply, look, and go back to the tree as it was."""
        report = apply(self.plan, self.connection)
        ours = tuple(path for path in self.look() if "cachetune" in path)
        theirs = not FOREIGN.exists() or MASK.strip() in (FOREIGN / "schemata").read_text().replace(" ", "")
        owned, left = tuple(sorted(load_ledger(self.connection.run).owned)), journal.exists(self.connection.run)
        self._go_back(interference)
        again = tree.differences(self.before, self.look())
        return Meddled(interference, number, report.outcome, report.error, ours, theirs, owned, left, again)

    def _go_back(self, interference: str) -> None:
        if FOREIGN.exists():
            FOREIGN.rmdir()
        back = removal(self.domain, self.connection)
        if back.steps:
            carried_out(back, self.connection)
        if interference == change_masks.__name__:
            (tree.RESCTRL / "schemata").write_text("L3:0=7ff\n")


def main() -> None:
    """Print an Outcome."""
    with running(4) as process:
        scene = Scene(Path(sys.argv[1]), process.threads.pid)
        changes = _changes(scene)
        meddled = []
        for number in range(1, changes + 1):
            for interference in INTERFERENCES:
                with before_change(number, lambda *_, interference=interference: interference()):
                    meddled.append(scene.meddled(interference.__name__, number))
        written = _written_when_gone(scene)
        read = _read_when_gone()
        seen = _host_read_when_gone()
    sys.stdout.buffer.write(documents.encode(Outcome(tuple(meddled), changes, written, read, seen)))


def _changes(scene: Scene) -> int:
    """The number of changes without interference."""
    with before_change(0, lambda *_: None) as made:
        carried_out(scene.plan, scene.connection)
        changes = len(made)
    carried_out(removal(scene.domain, scene.connection), scene.connection)
    return changes


def _written_when_gone(scene: Scene) -> Meddled:
    """A group that goes away while its tasks file is open to be written."""
    write = os.write
    gone: list[Path] = []

    def meddle(fd: int, data: bytes) -> int:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path.name == "tasks" and not gone:
            gone.append(path)
            remove_group()
        return write(fd, data)

    with mock.patch.object(os, "write", meddle):
        return scene.meddled("group removed while open", 0)


def _read_when_gone() -> str:
    FOREIGN.mkdir()
    try:
        with _gone_when_read("schemata"):
            SysfsResctrl(tree.RESCTRL).read("foreign/schemata")
    except ResctrlError as error:
        return str(error)
    return ""


def _host_read_when_gone() -> tuple[str, ...]:
    FOREIGN.mkdir()
    with _gone_when_read("mode"):
        host = read_host(SysfsResctrl(tree.RESCTRL))
    return tuple(group.path for group in host.groups)


@contextlib.contextmanager
def _gone_when_read(name: str) -> Any:
    """The foreign group is removed after this file of it was opened and before it is read."""
    read = os.read

    def meddle(fd: int, size: int) -> bytes:
        path = Path(f"/proc/self/fd/{fd}").readlink()
        if path == FOREIGN / name and FOREIGN.exists():
            os.rmdir(FOREIGN)  # noqa: PTH106 - one system call
        return read(fd, size)

    with mock.patch.object(os, "read", meddle):
        yield


def _ours() -> list[Path]:
    return [path for path in tree.RESCTRL.iterdir() if path.name.startswith("cachetune") and path.is_dir()]


if __name__ == "__main__":
    main()
