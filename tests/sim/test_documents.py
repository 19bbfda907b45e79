"""Profiles and snapshots from outside: whatever they contain, they are simulated or refused with a CachetuneError."""

import json
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from cachetune import documents
from cachetune.errors import CachetuneError
from cachetune.host import read_host
from cachetune.host.check import check_host
from cachetune.host.model import Host
from cachetune.sim import SimulatedResctrl, decode_profile, load_profile, profile_names, simulate_host, sysfs_files
from tests.effort import examples
from tests.sim.kernel.asking import attempt

SEED = int(os.environ.get("CACHETUNE_SEED", "9"))
ROUNDS = examples(30)
NUMBERS = (0, 1, 2, 3, 7, 16, 33, 64, -1, 100, 101, 4096, 1 << 16, 1 << 31, 1 << 40, 1 << 63, 0.5, 1e300)
WORDS = (
    *("", "x", "0", "0-3", "3-0", "7ff", "ffffffffff", "L2", "L3", "L3CODE", "MB", "SMBA", "cdp", "mba_MBps", "amd"),
    *("7.3", "6.1", "g1", "mon_groups/m", "g1/mon_groups/m", "info", "schemata", ".", "monitor", "control", "a\nb"),
    *("llc_occupancy", "mbm_total_bytes", "mbm_event", "exclusive", "pseudo-locked", "PERF_PKG_MON", "1/8 GB/s", "\0"),
)


def _places(value: Any, found: list[tuple[Any, Any]] | None = None) -> list[tuple[Any, Any]]:
    """Return every place in a document: the list or object, and the index or key."""
    found = [] if found is None else found
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found.append((value, key))
        _places(inner, found)
    return found


def _damage(document: Any, source: random.Random) -> None:
    """Change one value: mostly to another of its type, as a program with a bug or a person would."""
    inside, key = source.choice(_places(document))
    value = inside[key]
    change = source.random()
    if change < 0.1:
        del inside[key]
    elif change < 0.2 and isinstance(inside, list):
        inside.append(value)
    elif change < 0.3:
        other, where = source.choice(_places(document))
        inside[key] = json.loads(json.dumps(other[where]))
    elif isinstance(value, bool):
        inside[key] = not value
    elif isinstance(value, int | float):
        inside[key] = source.choice((*NUMBERS, value + 1, value - 1, value * 2))
    elif isinstance(value, str):
        inside[key] = source.choice(WORDS)
    else:
        inside[key] = source.choice(([], {}, None, *NUMBERS[:3], [value]))


def _use(sim: SimulatedResctrl) -> None:
    """Read everything, and change something of everything."""
    sim.tree()
    for path in ("g1", "mon_groups/n", "g1/mon_groups/m", "g2"):
        attempt(sim.mkdir, path)
    attempt(sim.write, "g1/tasks", "1")
    for line in ("L3:0=3\n", "L2:0=3\n", "L3CODE:0=3\n", "MB:0=50\n", "MB:0=50;1=20\n"):
        attempt(sim.write, "g1/schemata", line)
    attempt(sim.write, "g1/mode", "exclusive\n")
    attempt(sim.write, "info/L3/io_alloc", "1\n")
    attempt(sim.write, "info/L3_MON/mbm_assign_mode", "default\n")
    attempt(sim.write, "g1/cpus_list", "0\n")
    sim.tree()
    read_host(sim)
    for path in ("g1/mon_groups/m", "g1", "mon_groups/n", "g2"):
        attempt(sim.rmdir, path)


def _simulated_profile(data: bytes) -> SimulatedResctrl:
    sim = SimulatedResctrl(decode_profile(data, "my.json"))
    sysfs_files(sim.profile)
    return sim


def _simulated_snapshot(data: bytes) -> SimulatedResctrl:
    sim = simulate_host(check_host(documents.decode(data, Host, "host.json"), "host.json"))
    sysfs_files(sim.profile)
    return sim


def _snapshot(name: str) -> Any:
    sim = SimulatedResctrl(load_profile(name))
    for path in ("g1", "g2", "g1/mon_groups/m", "mon_groups/n"):
        attempt(sim.mkdir, path)
    for path, text in (("g1/schemata", "L3:0=3\n"), ("info/L3/io_alloc", "1\n"), ("g1/mode", "exclusive\n")):
        attempt(sim.write, path, text)
    return json.loads(documents.encode(read_host(sim)))


def _profile(name: str) -> Any:
    return msgspec.to_builtins(load_profile(name), str_keys=True)


def _outcomes(document: Any, simulate: Callable[[bytes], SimulatedResctrl], seed: int) -> Iterator[str]:
    """Damage a document again and again, and return what became of it."""
    source = random.Random(seed)  # noqa: S311 - reproducible on purpose
    for _ in range(ROUNDS):
        copy = json.loads(json.dumps(document))
        for _ in range(source.choice((1, 1, 1, 2, 3))):
            _damage(copy, source)
        try:
            sim = simulate(json.dumps(copy).encode())
        except CachetuneError:
            yield "refused"
        else:
            _use(sim)
            yield "simulated"


SMALL = tuple(name for name in profile_names() if load_profile(name).cpu_count <= 128)


@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_profile_is_simulated_or_refused(name: str) -> None:
    assert set(_outcomes(_profile(name), _simulated_profile, SEED)) == {"simulated", "refused"}


@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_snapshot_is_simulated_or_refused(name: str) -> None:
    assert set(_outcomes(_snapshot(name), _simulated_snapshot, SEED)) == {"simulated", "refused"}
