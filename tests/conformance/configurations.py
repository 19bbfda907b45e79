"""The machines and mounts on which the kernels are compared."""

import dataclasses
import random
from pathlib import Path

import msgspec

from cachetune.sim import load_profile
from cachetune.sim.profile import MBM_EVENTS, Bandwidth, Cache, CoreCache, Monitoring, Profile
from cachetune.sim.resources import CacheResource, resources_of
from cachetune.sim.rules import KERNELS
from tests.conformance.operations import PARTS, Offer, Operation, listed
from tests.conformance.sequences import EXTRA_FILES, sequence
from tests.kernel.vm import MACHINES, Amd, Machine, Rdt

GOLDEN = Path(__file__).parents[1] / "golden" / "conformance"
SEED = 20
PSEUDO_LOCKING_MODEL = 79  # Broadwell: one of the few processors on which Linux knows how
QEMU_L3_BYTES = 16 << 20
QEMU_L2_BYTES = 512 << 10
QEMU_SHARED_L2_BYTES = 4 << 20
CHOSEN_FOR = {"6.1": "6.1"}
"""Kernels from 6.12 on answer the same random operations, so that their records show what changed."""


@dataclasses.dataclass(frozen=True)
class Configuration:
    """A machine, its kernel version ("6.1", "6.12"), and the mount options of its resctrl.

    ``parts`` are the parts of the list to run, ``length`` is the number of random operations after them.
    """

    about: str
    kernel: str
    name: str
    machine: Machine = dataclasses.field(default_factory=Machine)
    options: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    length: int = 150

    @property
    def golden(self) -> Path:
        """The file with the recorded answers."""
        return GOLDEN / f"{self.kernel}-{self.name}.json.gz"

    @property
    def profile(self) -> Profile:
        """The machine's parameters for the simulated kernel."""
        rdt = self.machine.rdt
        base = load_profile("cascade-lake")
        profile = msgspec.structs.replace(
            base,
            vendor="amd" if rdt.amd else "intel",
            caches=self._caches(base.caches[0]),
            bandwidths=self._bandwidths(base.bandwidths[0]),
            monitoring=self._monitoring() if rdt.rmids else None,
            sub_numa_nodes=rdt.snc_nodes,
            core_caches=(CoreCache(level=2, type="Unified", size_bytes=QEMU_L2_BYTES),),
            pseudo_locking=self.machine.cpu_model == PSEUDO_LOCKING_MODEL,
        )
        return profile.mounted(*self.options, kernel=self.kernel)

    def _caches(self, like: Cache) -> tuple[Cache, ...]:
        rdt, caches, cpus = self.machine.rdt, range(self.machine.sockets), range(len(self.machine.cache_of))
        level_3 = msgspec.structs.replace(
            like,
            ids=tuple(caches),
            cpu_lists=tuple(",".join(str(cpu) for cpu in cpus if self.machine.cache_of[cpu] == i) for i in caches),
            ways=rdt.l3_ways or like.ways,
            size_bytes=rdt.l3_ways * rdt.l3_way_kib * 1024 or QEMU_L3_BYTES,
            closids=rdt.l3_closids if rdt.l3_ways else None,
            shareable=f"{rdt.l3_shareable:x}",
            min_cbm_bits=0 if rdt.amd else 1,
            sparse=rdt.sparse_masks or rdt.amd is not None,
            cdp=rdt.cdp,
            io_alloc=rdt.amd is not None and rdt.amd.io_alloc,
        )
        level_2 = msgspec.structs.replace(
            like,
            level=2,
            ids=tuple(cpus),
            cpu_lists=tuple(map(str, cpus)),
            ways=rdt.l2_ways,
            size_bytes=QEMU_SHARED_L2_BYTES,
            closids=rdt.l2_closids,
            shareable="0",
            cdp=rdt.l2_cdp,
        )
        return (level_3, level_2) if rdt.l2_ways else (level_3,)

    def _bandwidths(self, like: Bandwidth) -> tuple[Bandwidth, ...]:
        rdt = self.machine.rdt
        if rdt.amd is None:
            return (like,) if rdt.mba_closids else ()
        limits = {"MB": rdt.mba_closids, "SMBA": rdt.amd.smba_closids}
        return tuple(
            Bandwidth(
                name=name,  # type: ignore[arg-type]
                closids=closids,
                min_bandwidth=0,
                bandwidth_gran=1,
                max_bandwidth=1 << rdt.amd.bandwidth_bits,
                linear=False,
            )
            for name, closids in limits.items()
            if closids
        )

    def _monitoring(self) -> Monitoring:
        rdt = self.machine.rdt
        events = ("llc_occupancy", *MBM_EVENTS)
        if rdt.amd is None:
            return Monitoring(rmids=rdt.rmids, events=events)
        return Monitoring(
            rmids=rdt.rmids,
            events=events,
            unit_bytes=64,
            configurable=MBM_EVENTS if rdt.amd.event_configuration else (),
            counters=rdt.amd.counters or None,
        )

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
        extra = tuple(part for part in self.parts if part in EXTRA_FILES)
        return Offer(masks, self.machine.sockets, self.machine.rdt.l3_ways or Rdt.l3_ways, closids, extra)


_ONLY_SOME = {"running-out", "smba", "event-configs", "counters", "io-alloc"}
_EVERYTHING = tuple(part for part in PARTS if part not in _ONLY_SOME)
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


def _epyc(*, events: bool) -> Machine:
    """Return AMD's machine with five counters to assign, and either io_alloc or events that can be configured."""
    like = MACHINES["amd"]
    amd = Amd(counters=5, io_alloc=not events, event_configuration=events)
    return dataclasses.replace(like, rdt=dataclasses.replace(like.rdt, amd=amd))


_SPARSE_L2 = Machine(rdt=Rdt(l3_shareable=0, sparse_masks=True, l2_ways=Rdt.l3_ways, l2_cdp=True))
_WITHOUT_CACHES = ("reading", "mkdir", "schemata", "tasks", "rename", "modes", "thresholds")
_EACH = [
    *_on(_ALL, "plain", "two caches of 11 ways, mounted without options", Machine(), parts=_EVERYTHING),
    *_on(_ALL, "cdp", "mounted with cdp", Machine(), "cdp", parts=_EVERYTHING),
    *_on(_ALL, "mbps", "mounted with mba_MBps", Machine(), "mba_MBps", parts=("reading", *_MASKS)),
    *_on(_ALL_BUT_6_18, "cdp-mbps", "mounted with cdp and mba_MBps", Machine(), "cdp", "mba_MBps", parts=("modes",)),
    *_on(
        _ALL_BUT_6_18, "one-cache", "one cache of 20 ways, two CPUs", _with(1, 2, l3_ways=20), parts=(*_MASKS, "cpus")
    ),
    *_on(_ALL_BUT_6_18, "four-caches", "four caches of 11 ways", _with(4), parts=(*_MASKS, "cpus")),
    *_on(_ALL_BUT_6_18, "no-mba", "without MBA: 16 CLOSIDs", _with(mba_closids=0), parts=("mkdir", *_MASKS)),
    *_on(_ALL_BUT_6_18, "no-monitoring", "without monitoring", _with(rmids=0), parts=_WITHOUT_CACHES),
    *_on(_ALL_BUT_6_18, "no-allocation", "without allocation", _with(l3_ways=0, mba_closids=0), parts=_EVERYTHING),
    *_on(
        _ALL_BUT_6_18,
        "pseudo-locking",
        "a processor with pseudo-locking",
        _with(cpu_model=PSEUDO_LOCKING_MODEL),
        parts=("modes", "pseudo-locking"),
    ),
    *_on(
        _ALL_BUT_6_18,
        "unshared",
        "no ways shared with the hardware, no CDP",
        _with(l3_shareable=0, cdp=False),
        parts=("modes", "initial-masks"),
    ),
    *_on(_ALL_BUT_6_18, "few-rmids", "six RMIDs, which are used up", _with(rmids=6), parts=("running-out",), length=0),
    *_on(_SINCE_DEBUG, "debug", "mounted with debug", _with(rmids=255), "debug", parts=("processes", "rename")),
]
_EACH += [
    *_on(
        ("6.18", "7.3"),
        "amd",
        "AMD: 5 counters to assign, io_alloc",
        _epyc(events=False),
        parts=("reading", *_MASKS, "smba", "counters", "io-alloc"),
    ),
    *_on(("7.3",), "amd-cdp", "the same, mounted with cdp", _epyc(events=False), "cdp", parts=("modes", "io-alloc")),
    *_on(("6.12", "7.3"), "amd-bmec", "AMD: events can be configured", _epyc(events=True), parts=("event-configs",)),
    *_on(("6.12", "7.3"), "snc", "two Sub-NUMA nodes in each cache", MACHINES["snc"], parts=("reading", "mkdir")),
    *_on(("6.12", "7.3"), "sparse-l2", "masks with holes; control of L2", _SPARSE_L2, parts=("modes", *_MASKS)),
    *_on(("7.3",), "sparse-l2-cdp", "the same, mounted with cdp and cdpl2", _SPARSE_L2, "cdp", "cdpl2", parts=_MASKS),
]
CONFIGURATIONS = {f"{each.kernel}-{each.name}": each for each in _EACH}
