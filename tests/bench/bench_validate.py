"""Validation against xmllint with libvirt's own schema, against a bare start of Python, and against 80 MB."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.table import Row

ROOT = Path(__file__).parent.parent.parent
LIBVIRT_SCHEMA = "/usr/share/libvirt/schemas/domain.rng"
_START = "from cachetune.cli.main import main; main()"
_PEAK = """
import resource, sys
sys.argv = ["cachetune", "validate", *sys.argv[1:]]
try:
    from cachetune.cli.main import main
    main()
finally:
    peaks = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(max(peaks), file=sys.stderr)
"""
_DOMAIN = """<domain type='kvm'>
  <name>guest{number}</name>
  <memory unit='KiB'>4194304</memory>
  <vcpu placement='static'>8</vcpu>
  <cputune>
    <cachetune vcpus='0-1'>
      <cache id='0' level='3' type='both' size='{size}' unit='MiB'/>
      <cache id='1' level='3' type='both' size='3' unit='MiB'/>
      <monitor level='3' vcpus='0-1'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
    <memorytune vcpus='0-1'>
      <node id='0' bandwidth='60'/>
    </memorytune>
  </cputune>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
  </os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <source file='/var/lib/libvirt/images/guest{number}.qcow2'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <interface type='network'>
      <source network='default'/>
      <model type='virtio'/>
    </interface>
    <memballoon model='virtio'/>
  </devices>
</domain>
"""


def rows() -> list[Row]:
    """Medians of interleaved runs, each in its own process.

    Files are measured twice: as in a fleet, from a few templates, and in the worst case, each with another size, so
    that no cache helps.
    """
    with tempfile.TemporaryDirectory() as name:
        alike = _write(Path(name) / "alike", 1000, 5)
        different = _write(Path(name) / "different", 1000, 1000)
        many = _write(Path(name) / "many", 10_000, 10_000)
        return [
            _cold(alike[0]),
            _batch(alike, "5 templates", 0.8),
            _batch(different, "no two alike", 0.8),
            _memory(many),
        ]


def _cold(file: str) -> Row:
    ours, peer = _medians([_cachetune(file), [sys.executable, "-c", "import lxml.etree, click"]], 21)
    return Row("cold: validate one file / python -c 'import lxml.etree, click'", ours, peer, 1.6)


def _batch(files: list[str], what: str, wanted: float) -> Row:
    xmllint = ["xmllint", "--noout", "--relaxng", LIBVIRT_SCHEMA, *files]
    ours, peer = _medians([_cachetune(*files), xmllint], 11)
    return Row(f"validate {len(files)} files of 1 KB ({what}) / xmllint --relaxng", ours, peer, wanted)


def _memory(files: list[str]) -> Row:
    command = [sys.executable, "-c", _PEAK, str(Path(files[0]).parent)]
    result = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=True)
    peak = int(result.stderr.split()[-1]) / 1024
    return Row(f"peak memory with {len(files)} files / 80 MB", peak, 80.0, 1.0, unit="MB")


def _write(directory: Path, count: int, sizes: int) -> list[str]:
    directory.mkdir()
    for number in range(count):
        text = _DOMAIN.format(number=number, size=3 + number % sizes)
        (directory / f"guest{number:05}.xml").write_text(text)
    return [str(path) for path in sorted(directory.iterdir())]


def _cachetune(*files: str) -> list[str]:
    return [sys.executable, "-c", _START, "validate", *files]


def _medians(commands: Sequence[list[str]], runs: int) -> list[float]:
    """Seconds of each command, the commands taking turns so that a busy machine is busy for all."""
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(runs + 1):
        for command, times in zip(commands, seconds, strict=True):
            began = time.perf_counter()
            subprocess.run(command, env=_environment(), check=True, capture_output=True)
            times.append(time.perf_counter() - began)
    return [statistics.median(times[1:]) for times in seconds]  # the first run fills caches


def _environment() -> dict[str, str]:
    """As installed: with compiled modules kept, as pip does."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}
