"""The order of hosts: what disturbs least, then what leaves least, then the name."""

from random import Random

from cachetune.cbm import Cbm
from cachetune.fleet.model import Answer, CacheFit, Fit, Mean
from cachetune.fleet.ranking import ranked


def answer(host: str, free: int = 0, default: int = 0, *means: Mean, said: Answer = "fits", closids: int = 4) -> Fit:
    """A host on which these ways are free with the guest, and the default group has those."""
    runs = max(map(len, f"{free:b}".split("0")))
    cache = CacheFit(
        resource="L3", id=0, ways=16, way_bytes=1, masks={"web": Cbm(1 << 15)}, default=Cbm(default),
        default_before=Cbm(default), others=Cbm(0), free=Cbm(free), free_ways=free.bit_count(),
        largest_hole_ways=runs if free else 0,
    )  # fmt: skip
    return Fit(guest="web", host=host, answer=said, means=means, caches=(cache,), closids_left=closids)


def order(*fits: Fit, spread: bool = False) -> list[str]:
    shuffled = list(fits)
    Random(7).shuffle(shuffled)  # noqa: S311 - not for secrets
    return [fit.host for fit in ranked(shuffled, spread=spread)]


def test_the_host_with_the_fewest_ways_left_is_first() -> None:
    fits = answer("a", 0b111), answer("b", 0b1), answer("c", 0b11)
    assert order(*fits) == ["b", "c", "a"]
    assert order(*fits, spread=True) == ["a", "c", "b"]


def test_of_equally_many_ways_left_the_larger_hole_is_better_also_to_spread() -> None:
    fits = answer("a", 0b101), answer("b", 0b11)
    assert order(*fits) == order(*fits, spread=True) == ["b", "a"]


def test_without_free_ways_the_default_group_with_fewer_ways_is_first() -> None:
    fits = answer("a", 0, 0b1111), answer("b", 0, 0b11)
    assert order(*fits) == ["b", "a"]
    assert order(*fits, spread=True) == ["a", "b"]


def test_where_everything_else_is_equal_closids_and_then_the_name_decide() -> None:
    assert order(answer("a", closids=5), answer("b", closids=1), answer("c", closids=1)) == ["b", "c", "a"]


def test_what_disturbs_least_is_first_whatever_is_left() -> None:
    fits = (
        answer("now", 0b1111),
        answer("rounded", 0b111, 0, "rounded"),
        answer("shrunk", 0b11, 0, "shrunk"),
        answer("both", 0b1, 0, "rounded", "shrunk"),
        answer("compacted", 0, 0, "compacted"),
        answer("possible", 0, 0, "shrunk", said="possible"),
        answer("refused", said="refused"),
    )
    wanted = ["now", "rounded", "shrunk", "both", "compacted", "possible", "refused"]
    assert order(*fits) == order(*fits, spread=True) == wanted
