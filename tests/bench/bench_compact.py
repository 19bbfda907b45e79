"""Planning the compaction of a busy host, in processor time, against 50 ms."""

import random
import statistics
import time

import msgspec

from cachetune.cbm import Masks, run
from cachetune.host.model import Group, Host
from cachetune.host.read import read_host
from cachetune.plan.compact import CompactRequest, plan_compaction
from cachetune.sim import SimulatedResctrl, load_profile
from tests.bench.table import Row

_LIMIT_SECONDS = 0.05
_WAYS, _CACHES, _GROUPS = 20, 8, 16
_HOSTS = 15


def rows() -> list[Row]:
    """The median of several hosts, on each of which every cache has another layout."""
    seconds = []
    for seed in range(_HOSTS):
        host = fragmented_host(seed)
        began = time.process_time()
        plan = plan_compaction(host, CompactRequest(), {})
        seconds.append(time.process_time() - began)
        assert plan.moved
    what = f"plan the compaction of {_CACHES} caches of {_WAYS} ways with {_GROUPS} groups / 50 ms of processor time"
    return [Row(what, statistics.median(seconds), _LIMIT_SECONDS, 1.0)]


def fragmented_host(seed: int) -> Host:
    """Sixteen groups of one way in another order and with other holes in each cache: three ways are free."""
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    host = read_host(SimulatedResctrl(load_profile("haswell")))
    (haswell,) = host.caches
    ids = range(_CACHES)
    control = msgspec.structs.replace(
        haswell, size_bytes=dict.fromkeys(ids, _WAYS << 20), min_cbm_bits=1, num_closids=_GROUPS + 1
    )
    masks: dict[str, dict[int, int]] = {}
    for cache_id in ids:
        sizes = [1] * _GROUPS
        holes = sorted(draw.choices(range(_GROUPS), k=_WAYS - 1 - sum(sizes)))
        start = 0
        for position, (number, ways) in enumerate(zip(draw.sample(range(_GROUPS), _GROUPS), sizes, strict=True)):
            start += holes.count(position)
            masks.setdefault(f"cachetune-{number:02}", {})[cache_id] = run(start, ways)
            start += ways
    groups = [
        Group(path, "control", "cachetune", masks=Masks({"L3": row}))  # type: ignore[dict-item]
        for path, row in sorted(masks.items())
    ]
    default = msgspec.structs.replace(host.default_group, masks=Masks({"L3": dict.fromkeys(ids, run(_WAYS - 1, 1))}))
    return msgspec.structs.replace(host, caches=(control,), groups=(default, *groups))
