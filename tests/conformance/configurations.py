"""The machines and mounts on which the kernels are compared."""

import dataclasses
import random
from pathlib import Path

import msgspec

from cachetune.sim import load_profile
from cachetune.sim.profile import Profile
from cachetune.sim.resources import CacheResource, resources_of
from cachetune.sim.rules import KERNELS
from tests.conformance.operations import PARTS, Offer, Operation, listed
from tests.conformance.sequences import sequence
from tests.kernel.vm import Machine, Rdt

GOLDEN = Path(__file__).parents[1] / "golden" / "conformance"
SEED = 20
PSEUDO_LOCKING_MODEL = 79  # Broadwell: one of the few processors on which Linux knows how
QEMU_L3_BYTES = 16 << 20
CHOSEN_FOR = {"6.1": "6.1"}
"""Kernels from 6.12 on answer the same random operations, so that their records show what changed."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A machine, its kernel version ("6.1", "6.12"), and the mount options of its resctrl.

    ``parts`` are the parts of the list to run, ``length`` is the number of random operations after them. ``pace`` is
    about what an operation took when the answers were recorded, in seconds: freed RMIDs rest for a while.
    """

    about: str
    kernel: str
    name: str
    machine: Machine = dataclasses.field(default_factory=Machine)
    options: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    length: int = 150
    pace: float = 0.05

    @property
    def golden(self) -> Path:
        """The file with the recorded answers."""
        return GOLDEN / f"{self.kernel}-{self.name}.json.gz"

    @property
    def profile(self) -> Profile:
        """The machine's parameters for the simulated kernel."""
        rdt, caches = self.machine.rdt, range(self.machine.sockets)
        base = load_profile("cascade-lake")
        cpus = [[cpu for cpu, home in enumerate(self.machine.cache_of) if home == cache] for cache in caches]
        cache = msgspec.structs.replace(
            base.caches[0],
            ids=tuple(caches),
            cpu_lists=tuple(",".join(map(str, each)) for each in cpus),
            ways=rdt.l3_ways or base.caches[0].ways,
            size_bytes=rdt.l3_ways * rdt.l3_way_kib * 1024 or QEMU_L3_BYTES,
            closids=rdt.l3_closids if rdt.l3_ways else None,
            shareable=f"{rdt.l3_shareable:x}",
            cdp=rdt.cdp,
        )
        monitoring = base.monitoring if rdt.rmids else None
        profile = msgspec.structs.replace(
            base,
            caches=(cache,),
            bandwidths=base.bandwidths if rdt.mba_closids else (),
            monitoring=monitoring and msgspec.structs.replace(monitoring, rmids=rdt.rmids),
            pseudo_locking=self.machine.cpu_model == PSEUDO_LOCKING_MODEL,
        )
        return profile.mounted(*self.options, kernel=self.kernel)

    def operations(self, seed: int = SEED) -> list[Operation]:
        """Return the parts of the list, then a random sequence."""
        return [*self.listed(), *self.random(seed)]

    def listed(self) -> list[Operation]:
        """Return the parts of the list."""
        return listed(self.parts, self.offer)

    def random(self, seed: int = SEED) -> list[Operation]:
        """Return the random sequence, empty if it has none."""
        source = random.Random(f"{seed} {CHOSEN_FOR.get(self.kernel, '6.12')} {self.name}")  # noqa: S311 - reproducible on purpose
        return sequence(source, self.length, self.offer) if self.length else []

    @property
    def offer(self) -> Offer:
        """Return what the operations depend on."""
        resources = resources_of(self.profile, KERNELS[self.kernel])
        masks = tuple(each.name for each in resources if isinstance(each, CacheResource))
        closids = min((each.closids for each in resources), default=1)
        return Offer(masks, self.machine.sockets, self.machine.rdt.l3_ways or Rdt.l3_ways, closids)


_EVERYTHING = tuple(part for part in PARTS if part != "running-out")
_MASKS = ("schemata", "initial-masks")
_OLD = ("6.1", "6.12")
_SINCE_DEBUG = ("6.12", "7.3")
_ALL_BUT_6_18 = (*_OLD, "7.3")
_ALL = (*_OLD, "6.18", "7.3")


def _on(
    kernels: tuple[str, ...],
    name: str,
    about: str,
    machine: Machine,
    *options: str,
    parts: tuple[str, ...] = _MASKS,
    length: int = 150,
) -> list[Configuration]:
    return [Configuration(about, kernel, name, machine, options, parts, length) for kernel in kernels]


def _with(sockets: int = 2, cores: int = 1, cpu_model: int = Machine.cpu_model, **rdt: int) -> Machine:
    return Machine(sockets=sockets, cores=cores, cpu_model=cpu_model, rdt=Rdt(**rdt))  # type: ignore[arg-type]


_WITHOUT_CACHES = ("reading", "mkdir", "schemata", "tasks", "rename", "modes", "thresholds")
_EACH = [
    *_on(_ALL, "plain", "two caches of 11 ways, mounted without options", Machine(), parts=_EVERYTHING),
    *_on(_ALL, "cdp", "mounted with cdp", Machine(), "cdp", parts=_EVERYTHING),
    *_on(_ALL, "mbps", "mounted with mba_MBps", Machine(), "mba_MBps", parts=("reading", *_MASKS)),
    *_on(_OLD, "cdp-mbps", "mounted with cdp and mba_MBps", Machine(), "cdp", "mba_MBps", parts=("modes",)),
    *_on(_OLD, "one-cache", "one cache of 20 ways, two CPUs", _with(1, 2, l3_ways=20), parts=(*_MASKS, "cpus")),
    *_on(_OLD, "four-caches", "four caches of 11 ways", _with(4), parts=(*_MASKS, "cpus")),
    *_on(_OLD, "no-mba", "without MBA: 16 CLOSIDs", _with(mba_closids=0), parts=("mkdir", *_MASKS)),
    *_on(_ALL_BUT_6_18, "no-monitoring", "without monitoring", _with(rmids=0), parts=_WITHOUT_CACHES),
    *_on(_ALL_BUT_6_18, "no-allocation", "without allocation", _with(l3_ways=0, mba_closids=0), parts=_EVERYTHING),
    *_on(
        _OLD,
        "pseudo-locking",
        "a processor with pseudo-locking",
        _with(cpu_model=PSEUDO_LOCKING_MODEL),
        parts=("modes", "pseudo-locking"),
    ),
    *_on(
        _OLD,
        "unshared",
        "no ways shared with the hardware, no CDP",
        _with(l3_shareable=0, cdp=False),
        parts=("modes", "initial-masks"),
    ),
    *_on(_ALL_BUT_6_18, "few-rmids", "six RMIDs, which are used up", _with(rmids=6), parts=("running-out",), length=0),
    *_on(_SINCE_DEBUG, "debug", "mounted with debug", _with(rmids=255), "debug", parts=("processes", "rename")),
]
CONFIGURATIONS = {f"{each.kernel}-{each.name}": each for each in _EACH}
# The machine was so slow that the first freed RMID had left limbo when the next operation came.
CONFIGURATIONS["7.3-few-rmids"] = dataclasses.replace(CONFIGURATIONS["7.3-few-rmids"], pace=1.0)
