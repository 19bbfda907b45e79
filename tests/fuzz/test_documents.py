"""One test per document: mutated copies of a valid one, and every verb that reads it.

CACHETUNE_SEED and CACHETUNE_EFFORT give other and more mutants, as ``make soak`` does.
"""

import json
import os
import random
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import pytest

from cachetune import documents
from cachetune.agent import status_file
from cachetune.agent.model import AgentStatus, GuestStatus
from cachetune.apply.run import Connection, apply
from cachetune.apply.state import departures, reservations
from cachetune.apply.state.ledger import load_ledger
from cachetune.guests.sources import qmp
from cachetune.host.read import read_host
from cachetune.plan import plan_removal
from cachetune.plan.model import PlanGuest
from cachetune.testing.guests import NamedThreads
from tests.apply.dying import until_death
from tests.effort import examples
from tests.fuzz.mutation import encoded, mutated, single_changes
from tests.fuzz.verbs import World
from tests.samples import host_with_guest, plan_for, web

pytestmark = pytest.mark.slow

SEED = os.environ.get("CACHETUNE_SEED", "1")


def mutants(name: str, document: Any, directory: Path, usual: int = 12) -> Iterator[tuple[Any, Path]]:
    """Mutants of a document, each with a directory; a failure says which one it was.

    One half of them has any changes, the other a single extreme value.
    """
    draw = random.Random(f"{name} {SEED}")  # noqa: S311 - reproducible on purpose
    single = list(single_changes(document))
    draw.shuffle(single)
    count = examples(usual)
    for number, mutant in enumerate([*single[:count], *(mutated(document, draw) for _ in range(count))]):
        try:
            yield mutant, directory / str(number)
        except Exception as error:
            raise AssertionError(f"{name} {SEED} {number}") from error


def plain(document: object) -> Any:
    return json.loads(documents.encode(document))


def kinds_of_end(codes: list[int]) -> None:
    """Some mutants are refused and some do no harm: otherwise the test would prove little."""
    assert codes.count(2) > len(codes) / 20
    assert codes.count(0) > len(codes) / 50


def plan_to_place(world: World) -> Any:
    return plain(plan_for(web("skylake-2s"), world.connection))


def plan_to_remove(world: World) -> Any:
    ledger = load_ledger(world.placed().run)
    host = world.connection.look(ledger)
    return plain(plan_removal(host, [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk))


@pytest.mark.parametrize("make", [plan_to_place, plan_to_remove])
def test_a_plan(make: Callable[[World], Any], tmp_path: Path) -> None:
    codes = []
    for mutant, here in mutants(make.__name__, make(World(tmp_path / "first")), tmp_path):
        world = World(here)
        make(world)
        (here / "plan.json").write_bytes(encoded(mutant))
        codes.append(world.verb("apply", "--yes", here / "plan.json"))
    kinds_of_end(codes)


VERBS = {
    "apply": ("apply", "--yes", "--shrink-default"),
    "remove": ("remove", "--yes", "--machine-name", "cachetune-web"),
    "remove all": ("remove", "--yes", "--all-guests"),
    "recover": ("recover", "--yes"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_ledger(verb: str, tmp_path: Path) -> None:
    first = World(tmp_path / "first").placed()
    codes = []
    for mutant, here in mutants(f"ledger {verb}", json.loads((first.run / "ledger.json").read_bytes()), tmp_path):
        world = World(here).placed()
        (world.run / "ledger.json").write_bytes(encoded(mutant))
        codes.append(world.verb(*VERBS[verb], *([world.xml] if verb == "apply" else [])))
    kinds_of_end(codes)


def killed(world: World, number: int, *, removal: bool) -> bytes:
    """The journal of a run that was killed at this change."""
    if removal:
        world.placed()
        ledger = load_ledger(world.run)
        plan = plan_removal(
            world.connection.look(ledger), [PlanGuest("", "cachetune-web")], ledger.owned, ledger.shrunk
        )
    else:
        plan = plan_for(web("skylake-2s"), world.connection)
    assert until_death(world.sim, world.run, lambda: apply(plan, world.connection), number)
    return (world.run / "journal.jsonl").read_bytes()


def summed(records: list[Any]) -> bytes:
    """A journal with these records and right checksums."""
    lines, total = [], 0
    for record in records:
        text = encoded(record)
        total = zlib.crc32(text, total)
        lines.append(b"%s %08x\n" % (text, total))
    return b"".join(lines)


@pytest.mark.parametrize("removal", [False, True])
@pytest.mark.parametrize("number", [12, 24, 32])
def test_a_journal(number: int, removal: bool, tmp_path: Path) -> None:
    written = killed(World(tmp_path / "first"), number, removal=removal)
    records = [json.loads(line.rpartition(b" ")[0]) for line in written.splitlines()]
    codes = []
    for mutant, here in mutants(f"journal {number} {removal}", records, tmp_path, 8):
        world = World(here)
        killed(world, number, removal=removal)
        (world.run / "journal.jsonl").write_bytes(summed(mutant))
        code = world.verb("recover", "--yes")
        assert code != 2 or (world.run / "journal.jsonl").exists()
        codes.append(code)
    kinds_of_end(codes)


def test_a_reservation(tmp_path: Path) -> None:
    first = World(tmp_path / "first")
    ours = tuple(group for group in read_host(first.placed().sim).groups if group.path.startswith("cachetune-web"))
    reservations.reserve(tmp_path, "db", ours)
    (file,) = (tmp_path / "expected").iterdir()
    codes = []
    for mutant, here in mutants("reservation", json.loads(file.read_bytes()), tmp_path):
        world = World(here)
        reservations.reserve(world.run, "db", ())
        (world.run / "expected" / file.name).write_bytes(encoded(mutant))
        codes.append(world.verb("apply", "--yes", "--shrink-default", world.xml))
        world.verb("recover", "--yes")
    assert codes.count(0) > len(codes) / 2


def test_a_departure(tmp_path: Path) -> None:
    departures.record(tmp_path, "web")
    (file,) = (tmp_path / "departed").iterdir()
    for mutant, here in mutants("departure", json.loads(file.read_bytes()), tmp_path):
        world = World(here).placed()
        departures.record(world.run, "web")
        (world.run / "departed" / file.name).write_bytes(encoded(mutant))
        assert world.verb("recover", "--yes") == 0


def test_an_agents_status(tmp_path: Path) -> None:
    codes = []
    for mutant, here in mutants("status", plain(status()), tmp_path, 24):
        world = World(here)
        world.run.mkdir()
        (world.run / "agent.json").write_bytes(encoded(mutant))
        codes.append(world.verb("agent", "status", "--run", world.run))
        assert world.verb("agent", "status", "--json", "--run", world.run) == codes[-1]
    assert codes.count(2) > len(codes) / 20
    assert codes.count(1) > len(codes) / 10, "one guest has failed"


def status() -> AgentStatus:
    """The status of this process, as if it were an agent: only that of a running one is shown."""
    web = GuestStatus(name="web", machine_name="cachetune-web", requested_by="file", state="placed", since=1.7e9)
    placed = msgspec.structs.replace(web, changed=1.7e9, change="1 group created", pid=17)
    failed = GuestStatus(
        name="db", machine_name="qemu-7-db", requested_by="libvirt", state="failed", reason="no room", since=1.7e9
    )
    return AgentStatus(
        pid=os.getpid(),
        start_time=status_file.own_start_time(),
        started=1.7e9,
        looked=1.7e9 + 5,
        period_seconds=5.0,
        guests=(placed, failed),
    )


PROFILES = ("skylake-2s", "sapphire-rapids-cdp", "milan")
SNAPSHOT_VERBS = {
    "show": ("show", "--host"),
    "show --json": ("show", "--json", "--host"),
    "plan": ("plan", "--shrink-default", "{xml}", "--host"),
    "export": ("export", "-o", "/dev/null", "--host"),
    "export --format pqos": ("export", "--format", "pqos", "--host"),
    "export --format goresctrl": ("export", "--format", "goresctrl", "--host"),
    "validate": ("validate", "{xml}", "--host"),
    "diff-hosts": ("diff-hosts", "--groups", "sim:skylake-2s"),
    "fit --from sim": ("fit", "--shrink-default", "--from", "sim:skylake-2s", "{xml}"),
    "fit --from": ("fit", "--guest", "web", "sim:turin", "--from"),
}


@pytest.mark.parametrize("profile", PROFILES)
def test_a_snapshot(profile: str, tmp_path: Path) -> None:
    sim = host_with_guest(profile)
    connection = Connection(sim, tmp_path)
    assert apply(plan_for(web(profile), connection), connection).outcome == "done"
    codes = []
    for mutant, here in mutants(f"snapshot {profile}", plain(read_host(sim)), tmp_path, 8):
        world = World(here)
        (here / "host.json").write_bytes(encoded(mutant))
        for words in SNAPSHOT_VERBS.values():
            filled = [str(world.xml) if word == "{xml}" else word for word in words]
            codes.append(world.verb(*filled, here / "host.json"))
    kinds_of_end(codes)


@pytest.fixture(scope="module")
def qemu() -> Iterator[NamedThreads]:
    with NamedThreads("CPU 0/KVM", "CPU 1/KVM") as process:
        yield process


def test_the_answers_of_qmp(qemu: NamedThreads, tmp_path: Path) -> None:
    tids = [qemu.tids["CPU 0/KVM"], qemu.tids["CPU 1/KVM"]]
    answers = {
        "cpus": [{"cpu-index": n, "thread-id": tid, "props": {"core-id": n}} for n, tid in enumerate(tids)],
        "name": {"name": "web"},
        "uuid": {"UUID": "6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10"},
        "iothreads": [],
    }
    codes = []
    for mutant, here in mutants("qmp", answers, tmp_path, 24):
        world = World(here)
        with mock.patch.object(qmp, "_ask", return_value=(mutant, qemu.pid, 0)):
            where = ("--source", "qmp", "--qmp", here / "socket", "--run", world.run)
            codes.append(world.verb("guests", *where))
            assert world.verb("guests", "--json", *where) == codes[-1]
    kinds_of_end(codes)
