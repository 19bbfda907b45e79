"""What lies around a run and may be wrong: the mount, the user, the room for its files, those files, the lock.

``python -m … DOMAIN.xml``
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.state import journal
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run, run_here
from tests.kernel.scenarios.changes import killed
from tests.kernel.scenarios.children import Child, lock_held
from tests.kernel.scenarios.guest_process import running

RUN = Path("/run/surroundings")
TINY = Path("/run/tiny")
NOBODY = 65534
PAGE = 4096
PAGES = 16


class Case(msgspec.Struct, frozen=True):
    """A command, and what of the tree is not as it was before all of this."""

    ran: Ran
    differs: tuple[str, ...]


class Room(msgspec.Struct, frozen=True):
    """An apply with so much room for its files, and a recover with more room.

    ``journal`` is whether there is one after apply, ``logged`` whether the change log has a whole line.
    """

    pages: int
    apply: Case
    journal: bool
    logged: bool
    recover: Case


class Locked(msgspec.Struct, frozen=True):
    """A command that found the lock taken by ``holder`` and waited at most a second for it."""

    holder: int
    case: Case
    seconds: float


class Outcome(msgspec.Struct, frozen=True):
    """By name of what was wrong. ``victim`` is what is left of a file that a link in the way leads to."""

    cases: dict[str, Case]
    rooms: tuple[Room, ...]
    locked: Locked
    victim: str


class Scene:
    """A guest that is to be tuned."""

    def __init__(self, domain: str, pid: int, tids: set[int]) -> None:
        self.domain, self._tids = domain, tids
        self._wanted = ("--pid", str(pid), "--shrink-default", domain)
        self.before = tree.state(tids)

    def case(self, ran: Ran) -> Case:
        """What a command has left."""
        return Case(ran, tree.differences(self.before, tree.state(self._tids)))

    def apply(self, run_directory: Path = RUN, *options: str) -> Ran:
        """Plan and apply."""
        return run_here("apply", "--yes", "--run", str(run_directory), *options, *self._wanted)

    def plan(self, file: Path) -> Ran:
        """Save the plan."""
        return run_here("plan", "--run", str(RUN), "-o", str(file), *self._wanted)

    def apply_alone(self, *options: str) -> Ran:
        """Run apply in a new process."""
        return run("apply", "--yes", "--run", str(RUN), *options, *self._wanted)


def main() -> None:
    """Print an Outcome."""
    with running(4) as process:
        domain = Path("/run/domain.xml")  # where everybody may read it
        domain.write_bytes(Path(sys.argv[1]).read_bytes())
        scene = Scene(str(domain), process.threads.pid, process.threads.tids)
        locked = _locked(scene)
        cases = {
            "read-only": _read_only(scene),
            "not root": scene.case(_as_nobody(scene.apply)),
            "not root, with its own files": scene.case(_as_nobody(lambda: scene.apply(_directory_of_nobody()))),
            **_journals(scene),
            "plan edited": _edited_plan(scene),
        }
        rooms = tuple(_rooms(scene))
        cases |= dict(_logs(scene))
        victim = Path("/run/victim")
        victim.write_text("precious")
        (RUN / "journal.jsonl").symlink_to(victim)
        cases["link in the way"] = scene.case(scene.apply())
        (RUN / "journal.jsonl").unlink()
        cases["all well"] = scene.case(scene.apply())
        cases["removed"] = scene.case(run_here("remove", "--yes", "--run", str(RUN), scene.domain))
        subprocess.run(["umount", "--lazy", tree.RESCTRL], check=True)  # noqa: S607 - the machine's
        cases["not mounted"] = Case(scene.apply(), ())
    sys.stdout.buffer.write(documents.encode(Outcome(cases, rooms, locked, victim.read_text())))


def _locked(scene: Scene) -> Locked:
    with lock_held() as holder:
        begin = time.monotonic()
        ran = scene.apply_alone("--lock-timeout", "1")
        seconds = time.monotonic() - begin
    return Locked(holder, scene.case(ran), seconds)


def _read_only(scene: Scene) -> Case:
    for options in ("remount,ro", "remount,rw"):
        subprocess.run(["mount", "-o", options, tree.RESCTRL], check=True)  # noqa: S607 - the machine's
        if options == "remount,ro":
            ran = scene.apply()
    return scene.case(ran)


def _as_nobody(command: Callable[[], Ran]) -> Ran:
    """In a child that may nothing."""

    def run() -> bytes:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        return msgspec.json.encode(command())

    return msgspec.json.decode(Child(run).answer(), type=Ran)


def _directory_of_nobody() -> Path:
    path = Path("/dev/shm/of-nobody")  # noqa: S108 - the machine has no other user
    path.mkdir(exist_ok=True)
    return path


def _journals(scene: Scene) -> dict[str, Case]:
    """A run dies part-way; its journal is edited, restored, and truncated."""
    number = 12  # three for the journal's beginning, then two for each step: in the middle of the fifth
    _die(scene, number)
    path = RUN / "journal.jsonl"
    whole = path.read_bytes()
    cases = {"half done": scene.case(Ran(0, "", ""))}
    path.write_bytes(whole.replace(b"cachetune-faults", b"cachetune-others"))
    cases["journal edited"] = scene.case(_recover())
    cases["apply with the journal edited"] = scene.case(scene.apply())
    path.write_bytes(whole)
    cases["journal put back"] = scene.case(_recover())
    _die(scene, number)
    path.write_bytes(path.read_bytes()[:-7])
    cases["journal cut off"] = scene.case(_recover())
    return cases


def _die(scene: Scene, number: int) -> None:
    if not killed(scene.apply, number):
        raise RuntimeError("apply lived on")


def _recover(run_directory: Path = RUN) -> Ran:
    return run_here("recover", "--yes", "--run", str(run_directory))


def _edited_plan(scene: Scene) -> Case:
    file = Path("/run/plan.json")
    scene.plan(file)
    file.write_text(file.read_text().replace('"cachetune-faults-', '"foreign-'))
    return scene.case(run_here("apply", "--yes", "--run", str(RUN), str(file)))


def _rooms(scene: Scene) -> Iterator[Room]:
    """A run directory that has room for nothing, for a page, for two, until there is enough."""
    directory = TINY
    directory.mkdir()
    filler, log = directory / "filler", directory / "changes.jsonl"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PAGES * PAGE}", "tiny", directory], check=True)  # noqa: S607
    for pages in range(PAGES):
        filler.write_bytes(bytes((PAGES - pages) * PAGE))
        applied = scene.case(scene.apply(directory))
        left = journal.exists(directory)
        logged = log.exists() and log.read_bytes().endswith(b"\n")
        filler.unlink()
        yield Room(pages, applied, left, logged, scene.case(_recover(directory)))
        if applied.ran.code == 0:
            run_here("remove", "--yes", "--run", str(directory), scene.domain)
        log.unlink(missing_ok=True)
        if applied.ran.code == 0 and logged and not left:
            return


def _logs(scene: Scene) -> Iterator[tuple[str, Case]]:
    """A change log on a disk that is full, or read-only."""
    log = TINY / "changes.jsonl"
    filler = TINY / "filler"
    for name, options in (("log full", ""), ("log read-only", "remount,ro")):
        if options:
            subprocess.run(["mount", "-o", options, TINY], check=True)  # noqa: S607 - the machine's
        else:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(bytes(PAGE)):
                    pass
        yield name, scene.case(scene.apply(RUN, "--log", str(log)))
        run_here("remove", "--yes", "--run", str(RUN), scene.domain)


if __name__ == "__main__":
    main()
