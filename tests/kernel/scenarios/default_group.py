"""The default group set and reset, and given ways back by a guest that shrinks: with a failure or death at each change.

``python -m … EXTENT [SEED]``, as in ``deaths``. With "few" recover is not killed.
"""

import gc
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from cachetune import documents
from cachetune.apply.run import Connection
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.host.model import Host
from cachetune.plan.default_group import BandwidthAmount, CacheAmount, DefaultRequest, plan_default, plan_reset
from cachetune.plan.model import Plan
from cachetune.units import Rate, Size
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.cachetune_command import Ran, run_here
from tests.kernel.scenarios.deaths import Round, Scene, moments_of
from tests.kernel.scenarios.faults import Attempt, failures
from tests.kernel.scenarios.guest_process import GuestProcess, running
from tests.kernel.scenarios.library import carried_out, guest_of, place_on, planned, removal

SMALL, LARGE = 1, 5  # ways of a guest


class Walk(msgspec.Struct, frozen=True):
    """The way of an operator; ``differs`` is at its end, from the beginning."""

    set: Ran
    show: Ran
    schemata: str
    refused: Ran
    shrunk: Ran
    back: str
    reset: Ran
    differs: tuple[str, ...]


class Outcome(msgspec.Struct, frozen=True):
    """``plans``, ``failed`` and ``rounds`` are by what is done: "set", "reset", "grow" and "shrink"."""

    ways: int
    walk: Walk
    plans: dict[str, Plan]
    failed: dict[str, tuple[Attempt, ...]]
    rounds: dict[str, Round]
    differs: tuple[str, ...]


def guest_with(ways: int, host: Host) -> Domain:
    """A guest that requests this many ways of the first cache."""
    cache = host.caches[0]
    cache_id = next(iter(cache.size_bytes))
    size = ways * (cache.way_bytes(cache_id) or 0)
    asks = f"<cache id='{cache_id}' level='{cache.level}' type='{cache.type}' size='{size}' unit='B'/>"
    text = f"<cputune><cachetune vcpus='0-1'>{asks}</cachetune></cputune>"
    domain = load(text.encode(), "tuning.xml").domain
    if domain is None:
        raise RuntimeError(text)
    return msgspec.structs.replace(domain, name="small")


def walk(process: GuestProcess, host: Host, file: Path) -> Walk:
    """Set the default group, place a guest in the ways that it gave up, shrink the guest, and reset it."""
    tids = process.threads.tids
    before, cache = tree.state(tids), host.caches[0]
    cache_id = next(iter(cache.size_bytes))
    option = f"--{cache.name.lower()}"
    made = run_here("default", "--yes", "--json", option, f"{cache_id}=5ways")
    show, schemata = run_here("show"), (tree.RESCTRL / "schemata").read_text()
    words = ("--pid", str(process.threads.pid), "--machine-name", "cachetune-small", "--shrink-default", str(file))
    for ways in (cache.ways - 3, SMALL):  # more than the default group left free
        size = ways * (cache.way_bytes(cache_id) or 0)
        file.write_text(
            f"<cputune><cachetune vcpus='0-1'><cache id='{cache_id}' level='{cache.level}' type='{cache.type}'"
            f" size='{size}' unit='B'/></cachetune></cputune>"
        )
        shrunk = run_here("apply", "--yes", "--json", *words)
    back = (tree.RESCTRL / "schemata").read_text()
    refused = run_here("default", "--dry-run", "--json", option, f"{cache_id}={cache.ways}ways")
    run_here("remove", "--yes", "--machine-name", "cachetune-small")
    reset = run_here("default", "--yes", "--json", "--reset")
    differs = tree.differences(before, tree.state(tids))
    return Walk(made, show, schemata, refused, shrunk, back, reset, differs)


def request_on(host: Host) -> DefaultRequest:
    """Five ways of the first cache, and some bandwidth of the first node if the machine controls that."""
    cache = host.caches[0]
    caches = (CacheAmount(cache.name, next(iter(cache.size_bytes)), Size(5, "ways")),)
    limits = [
        BandwidthAmount(control.name, control.ids[0], Rate(5 * max(control.bandwidth_gran, 1) + control.min_bandwidth))
        for control in host.bandwidths
        if control.unit == "percent"
    ]
    return DefaultRequest(caches, tuple(limits))


def ways_of(connection: Connection, process: GuestProcess) -> list[dict[str, Callable[[], Plan]]]:
    """Pairs of what is done and what undoes it: the verb set and reset, and a guest that grows and shrinks."""

    def look() -> tuple[Host, Ledger]:
        ledger = load_ledger(connection.run)
        return connection.look(ledger), ledger

    host = connection.look(Ledger())
    small, large = guest_with(SMALL, host), guest_with(LARGE, host)
    guest = guest_of(small, process.threads.pid)
    return [
        {
            "set": lambda: plan_default(look()[0], request_on(host)),
            "reset": lambda: plan_reset(look()[0], look()[1].initial, look()[1].initial_unit),
        },
        {
            "grow": lambda: planned(large, guest, connection),
            "shrink": lambda: planned(small, guest, connection),
        },
    ]


def main() -> None:
    """Print an Outcome."""
    with running(2) as process:
        tids = process.threads.tids
        connection = place_on(Path("/run/default"))
        host = connection.look(Ledger())
        walked = walk(process, host, Path("/run/small.xml"))
        first = tree.state(tids)
        small = guest_with(SMALL, host)
        plans: dict[str, Plan] = {}
        failed: dict[str, tuple[Attempt, ...]] = {}
        rounds: dict[str, Round] = {}
        for number, ways in enumerate(ways_of(connection, process)):
            if number:
                carried_out(planned(small, guest_of(small, process.threads.pid), connection), connection)
            scene = Scene(connection, set(tids), ways, moments_of(*sys.argv[1:]))
            plans |= scene.plans
            gc.disable()  # as in deaths
            for verb in ways:
                rounds[verb] = scene.round(verb)
                if sys.argv[1] != "few":
                    rounds |= scene.recoveries(verb, all_ends=False)
                failed[verb] = failures(scene.plans[verb], scene.connection, partial(tree.state, tids))
        carried_out(removal(small, connection), connection)
        differs = tree.differences(first, tree.state(tids))
    cache = host.caches[0]
    sys.stdout.buffer.write(documents.encode(Outcome(cache.ways, walked, plans, failed, rounds, differs)))


if __name__ == "__main__":
    main()
