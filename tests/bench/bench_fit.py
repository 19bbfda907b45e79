"""One guest against many snapshots, as a whole process: against 2 s for a thousand, linear growth, and 300 MB."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from msgspec.structs import replace

from cachetune import documents
from tests.bench.table import Row
from tests.fleet.domains import caches, guest_xml
from tests.fleet.random_fleet import random_fleet

ROOT = Path(__file__).parent.parent.parent
FEW, MANY = 1000, 10_000
_RUNS = 5
_MEASURED = """
import os, resource, sys
sys.argv = ["cachetune", "fit", *sys.argv[1:]]
try:
    from cachetune.cli.main import main
    main()
finally:
    own, of_worker = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(own + of_worker * (len(os.sched_getaffinity(0)) - 1), file=sys.stderr)
"""


def rows() -> list[Row]:
    """The snapshots are of all simulated processors, with groups at random places.

    Memory is the sum of the peaks of all processes, pages that they share counted in each.
    """
    with tempfile.TemporaryDirectory() as name:
        guest, few, many = Path(name) / "web.xml", Path(name) / "few", Path(name) / "many"
        guest.write_text(guest_xml("web", caches("0=2ways")))
        save_fleet(few, FEW)
        save_fleet(many, MANY)
        seconds = statistics.median([_fit(guest, few)[0] for _ in range(_RUNS)])
        longer, peak = _fit(guest, many)
    return [
        Row(f"fit: 1 guest, {FEW} snapshots / 2 s", seconds, 2.0, 1.0),
        Row(f"fit: 1 guest, {MANY} snapshots / {MANY // FEW} times {FEW}", longer, seconds * MANY / FEW, 1.1),
        Row(f"fit: peak memory with {MANY} snapshots, all processes / 300 MB", peak, 300.0, 1.0, unit="MB"),
    ]


def save_fleet(directory: Path, number: int) -> None:
    """Write the snapshots of a random fleet, all of them taken now."""
    directory.mkdir()
    for host in random_fleet(number):
        assert host.identity
        current = replace(host, identity=replace(host.identity, taken=time.time()))
        (directory / f"{host.identity.hostname}.json").write_bytes(documents.encode(current))


def _fit(guest: Path, directory: Path) -> tuple[float, float]:
    """The seconds of the whole process, and the megabytes of all processes."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-c", _MEASURED, str(guest), str(directory)]
    began = time.perf_counter()
    result = subprocess.run(command, env={**kept, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(result.stderr.split()[-1]) / 1024
