"""Reading a host, alone and with a plan, against finding and reading the same files and nothing more."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cachetune.domain import load
from cachetune.guests.model import Guest, Thread
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.plan.build import plan
from tests.bench.table import Row

_XML = b"""<domain type='kvm'><name>bench</name><vcpu>4</vcpu><cputune>
<cachetune vcpus='0-1'>
<cache id='0' level='3' type='both' size='2' unit='MiB'/><monitor level='3' vcpus='0'/></cachetune>
<memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>
</cputune></domain>"""


def rows() -> list[Row]:
    """Medians of interleaved runs in one process."""
    domain = load(_XML, "bench.xml").domain
    assert domain is not None
    guest = Guest(4, tuple(Thread(100_000 + n, 0, f"CPU {n}/KVM", n) for n in range(4)))

    def read_and_plan(root: Path) -> None:
        plan(domain, read_host(SysfsResctrl(root)), guest)

    def read(root: Path) -> None:
        read_host(SysfsResctrl(root))

    peer = "list its groups and read their files"
    return [
        Row(f"read a host with 64 groups and plan on it / {peer}", *_pair(read_and_plan, 64, 10), 3.0),
        Row(f"read a host with 128 groups and 10,000 threads / {peer}", *_pair(read, 128, 78), 2.5),
        Row(f"read a host with 512 groups and 40,000 threads / {peer}", *_pair(read, 512, 78), 2.5),
    ]


def _pair(ours: Callable[[Path], None], groups: int, threads: int) -> tuple[float, float]:
    """Seconds of ours and of the peer, on a host with that many groups, and threads in each."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        _make_tree(root, groups, threads)
        pairs = [(_seconds(lambda: ours(root)), _seconds(lambda: _read_tree(name))) for _ in range(25)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def _read_tree(root: str) -> None:
    """The least that any program must do: list the groups, and open, read and close each of their files."""
    for name in os.listdir(f"{root}/info"):  # noqa: PTH208 - the cheapest way there is
        for file in os.listdir(f"{root}/info/{name}") if name != "last_cmd_status" else ():  # noqa: PTH208
            _read(f"{root}/info/{name}/{file}")
    _read_group(root)
    for name in os.listdir(root):  # noqa: PTH208
        if name.startswith("qemu-"):
            _read_group(f"{root}/{name}")


def _read_group(path: str) -> None:
    for file in ("schemata", "mode", "tasks", "cpus_list"):
        _read(f"{path}/{file}")
    os.listdir(f"{path}/mon_groups")  # noqa: PTH208


def _read(path: str) -> None:
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 65536)
    os.close(fd)


def _seconds(function: Callable[[], None]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _make_tree(root: Path, groups: int, threads: int) -> None:
    """A copy of a resctrl with 11 ways of 1 MiB on two caches; no two neighboring groups have the same schemata."""
    _group(root, "L3:0=400;1=400\nMB:0=100;1=100\n", range(1, 500))
    for name, text in {
        "L3/cbm_mask": "7ff",
        "L3/min_cbm_bits": "1",
        "L3/shareable_bits": "600",
        "L3/num_closids": "128",
        "L3/bit_usage": "0=SSSSSSSSSSS;1=SSSSSSSSSSS",
        "MB/bandwidth_gran": "10",
        "MB/min_bandwidth": "10",
        "MB/delay_linear": "1",
        "MB/num_closids": "128",
        "L3_MON/num_rmids": "256",
        "L3_MON/mon_features": "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes",
        "L3_MON/max_threshold_occupancy": "65536",
        "last_cmd_status": "ok",
    }.items():
        path = root / "info" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    (root / "size").write_text("L3:0=1048576;1=1048576\nMB:0=100;1=100\n")
    for number in range(1, groups):
        tids = range(number * 1000, number * 1000 + threads)
        schemata = f"L3:0={8 << number % 7:x};1={8 << number % 5:x}\nMB:0={number % 10 * 10 + 10};1=50\n"
        _group(root / f"qemu-{number}-guest-vcpus_0-3", schemata, tids)


def _group(path: Path, schemata: str, tids: range) -> None:
    path.mkdir(exist_ok=True)
    (path / "mon_groups").mkdir(exist_ok=True)
    (path / "schemata").write_text(schemata)
    (path / "mode").write_text("shareable\n")
    (path / "cpus_list").write_text("\n")
    (path / "tasks").write_text("".join(f"{tid}\n" for tid in tids))
