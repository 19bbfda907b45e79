"""Bandwidth values as people read them, and which caches or nodes they are for."""

from cachetune.host.model import BandwidthControl, BandwidthUnit, Host

UNITS: dict[BandwidthUnit, str] = {
    "percent": "percent",
    "MiB/s": "MiB/s (mba_MBps)",
    "1/8 GB/s": "eighths of a GB/s",
}
"""What a host counts bandwidth in, in words."""

NOUNS = {"MB": "memory bandwidth", "SMBA": "slow memory bandwidth"}
"""What a bandwidth resource limits, in words."""

_GB_PER_S = 8  # AMD counts eighths of a GB/s


def unit_of(host: Host) -> BandwidthUnit | None:
    """The unit of the host's bandwidths: MB and SMBA, which only AMD has, count the same."""
    control = host.bandwidth("MB") or host.bandwidth("SMBA")
    return None if control is None else control.unit


def with_unit(value: int, unit: BandwidthUnit | None) -> str:
    """The value and its unit: "50 percent", "3000 MiB/s", and on AMD "50 (6.25 GB/s)"."""
    if unit == "1/8 GB/s":
        return f"{value} ({value / _GB_PER_S:.3f}".rstrip("0").rstrip(".") + " GB/s)"
    return f"{value} {unit}" if unit else str(value)


def step_of(control: BandwidthControl) -> str:
    """The host's step with its unit: "10 percent", "1 MiB/s", "1/8 GB/s"."""
    step = control.bandwidth_gran
    return control.unit if (control.unit, step) == ("1/8 GB/s", 1) else in_words(step, control.unit)


def cpus_of_nodes(control: BandwidthControl, host: Host) -> dict[int, str]:
    """The CPUs of each of the host's bandwidth nodes, as far as they are known."""
    topology = host.topology
    cpus = topology.nodes if are_numa_nodes(control, host) else topology.caches.get(3, {})
    return {i: cpus[i] for i in control.ids if i in cpus}


def are_numa_nodes(control: BandwidthControl, host: Host) -> bool:
    """Whether the ids of a bandwidth resource are NUMA nodes rather than L3 caches, as on some MPAM hosts."""
    return bool(set(control.ids) - l3_ids(host)) and host.is_mpam


def l3_ids(host: Host) -> set[int]:
    """The ids of the L3 caches, as far as they are known."""
    return {i for c in host.caches if c.level == 3 for i in c.size_bytes} | set(host.topology.caches.get(3, ()))


LOOKS_LIKE_PERCENT = 100
"""Up to here a number may be meant as percent where the host counts something else."""


def in_words(value: int, unit: BandwidthUnit) -> str:
    """The value as a rate alone: "50 percent", "50 MiB/s", "6.25 GB/s"."""
    return with_unit(value, unit).partition("(")[2].rstrip(")") or with_unit(value, unit)
