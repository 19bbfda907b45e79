"""Moments of one L3 cache of 11 ways of 2 MiB, written as a table."""

from collections.abc import Sequence

from cachetune.cbm import Cbm
from cachetune.watch.usage import Cache, Moment, Usage

MIB = 1 << 20
WAYS, FULL = 11, 0x7FF


def use(
    path: str,
    held: float | None,
    rate: float | None,
    *,
    guest: str | None = None,
    mask: int | None = FULL,
    cache_id: int = 0,
) -> Usage:
    """What a group holds in MiB and transfers in MiB/s; a guest's group in the default group is a monitor group."""
    return Usage(
        path,
        guest,
        "monitor" if "mon_groups/" in path else "control",
        cache_id,
        None if mask is None else Cbm(mask),
        None if held is None else int(held * MIB),
        None if rate is None else rate * MIB,
        None if rate is None else rate * MIB * 3 / 4,
    )


def moments(*seconds: Sequence[Usage], ways: int = WAYS) -> list[Moment]:
    """One moment for each second."""
    ids = sorted({usage.cache_id for usages in seconds for usage in usages})
    caches = tuple(Cache(i, ways * 2 * MIB, ways) for i in ids)
    return [Moment(1000.0 + at, caches, tuple(usages)) for at, usages in enumerate(seconds)]


def crowd(batch: float = 17, web: float = 3, rate: float = 4000) -> list[Usage]:
    """batch streams through the default group's ways and holds most of them; web needs more than it holds."""
    return [
        use(".", batch + web + 1, rate + 900),
        use("mon_groups/cachetune-batch-vcpus_0-1", batch, rate, guest="batch"),
        use("mon_groups/cachetune-web-vcpus_0-1", web, 800, guest="web"),
    ]


def calm() -> list[Usage]:
    """Both have separate ways."""
    return [
        use(".", 2, 20, mask=0x700),
        use("cachetune-batch-vcpus_0-1", 8, 4000, guest="batch", mask=0x00F),
        use("cachetune-web-vcpus_0-1", 6, 50, guest="web", mask=0x0F0),
    ]
