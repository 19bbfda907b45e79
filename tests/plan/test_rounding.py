"""From a request to whole ways and a number of the host's: exhaustive for ways, drawn for bandwidth."""

from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cachetune.cbm import Cbm
from cachetune.domain.model import BandwidthRequest, CacheRequest
from cachetune.findings import Finding, Source
from cachetune.host.model import BandwidthControl, BandwidthUnit, CacheControl, Host
from cachetune.host.read import read_host
from cachetune.plan.allocate.capacity import bandwidth_of, ways_of
from cachetune.plan.rounding import exact_bandwidth, exact_ways
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.units import Rate, Rounding, Size
from tests.sim.test_profiles import NAMES

WAY = 1 << 20
ROUNDINGS: tuple[Rounding, ...] = ("up", "down", "nearest")
SKYLAKE = read_host(SimulatedResctrl(load_profile("skylake-2s")))


def with_ways(ways: int, least: int = 1) -> Host:
    """A host with one L3 cache of that many ways of 1 MiB."""
    control = CacheControl("L3", 3, "both", Cbm((1 << ways) - 1), least, {0: ways * WAY})
    return msgspec.structs.replace(SKYLAKE, caches=(control,))


def ways(size: Size, on: Host, rounding: Rounding | None = None) -> int | Finding:
    return ways_of(CacheRequest(3, 0, "both", size, Source(), rounding), on)


def rule(found: int | Finding) -> str:
    assert isinstance(found, Finding)
    return found.rule


def test_percentages_mean_ways() -> None:
    meant = {
        (11, "30"): 3,  # 3.3 ways
        (11, "40"): 4,  # 4.4
        (11, "27"): 3,  # 3 ways are 27.27%
        (11, "26.7"): 2,  # more than half a percent less
        (12, "33"): 4,
        (12, "33.3"): 4,
        (20, "30"): 6,
        (16, "12.5"): 2,
        (11, "50"): 5,  # 5.5
        (11, "9"): 1,
        (11, "99"): 10,
    }
    assert {key: ways(Size(Decimal(key[1]), "%"), with_ways(key[0])) for key in meant} == meant


@pytest.mark.parametrize("total", range(2, 33))
@pytest.mark.parametrize("least", [0, 1, 2])
def test_rounding_moves_by_less_than_a_way_and_never_to_none_or_all(total: int, least: int) -> None:
    on, valid = with_ways(total, least), range(max(least, 1), total)
    sizes = [Size(Decimal(tenths) / 10, "%") for tenths in range(1, 1000, 7)]
    sizes += [Size(size) for size in range(1, total * WAY, WAY // 3)]
    for size in sizes:
        exact = exact_ways(size, on.caches[0], WAY)
        slack = Fraction(total, 200) if size.unit == "%" else 0
        for rounding in ROUNDINGS:
            found = ways(size, on, rounding)
            if isinstance(found, Finding):  # nothing valid in that direction
                assert found.rule in ("CT204", "CT206")
                outside = (exact < least or exact < 1) if found.rule == "CT206" else exact > total - 1
                assert outside, (size, found)
                continue
            assert found in valid
            assert abs(found - exact) < 1
            assert found <= exact + slack if rounding == "down" else True
            assert found >= exact - slack if rounding == "up" else True
            if rounding == "nearest":
                assert abs(found - exact) == min(abs(n - exact) for n in valid)


@pytest.mark.parametrize("total", range(2, 33))
def test_more_percent_are_never_fewer_ways(total: int) -> None:
    for rounding in (None, *ROUNDINGS):
        found = [ways(Size(Decimal(tenths) / 10, "%"), with_ways(total), rounding) for tenths in range(1001)]
        numbers = [n for n in found if isinstance(n, int)]
        assert numbers == sorted(numbers)


@pytest.mark.parametrize("total", sorted({c.ways for n in NAMES for c in load_profile(n).caches}))
def test_whole_percentages_of_at_most_a_hundred_fit_beside_each_other(total: int) -> None:
    on = with_ways(total)
    each = {percent: n for percent in range(1, 100) if isinstance(n := ways(Size(percent, "%"), on), int)}
    most = [0] * 101
    for budget in range(1, 101):
        most[budget] = max([most[budget - 1], *(most[budget - p] + n for p, n in each.items() if p <= budget)])
    assert most[100] <= total


@pytest.mark.parametrize("total", range(2, 33))
def test_what_a_refusal_calls_valid_is_valid(total: int) -> None:
    on = with_ways(total, 2 if total > 2 else 1)
    wrong = [Size(WAY // 2), Size(3 * WAY // 2), Size(total * WAY), Size(total * WAY - 1), Size((total + 9) * WAY + 1)]
    wrong += [Size(1, "%"), Size(100, "%"), Size(total, "ways")]
    for size in wrong:
        found = ways(size, on)
        if isinstance(found, int):
            continue
        hint = found.hint.removeprefix("nearest valid: ").partition(";")[0]
        for text in hint.split(" or "):
            valid = Size.parse(text)
            assert valid.unit == size.unit
            assert isinstance(ways(valid, on), int), (size, text)


def test_bytes_are_rounded_only_on_request() -> None:
    on = with_ways(11)
    found = ways(Size(5 * WAY // 2), on)
    assert isinstance(found, Finding)
    assert (found.rule, found.hint) == ("CT205", "nearest valid: 2 MiB or 3 MiB; or plan with --round")
    assert [ways(Size(5 * WAY // 2), on, rounding) for rounding in ROUNDINGS] == [3, 2, 2]


def test_what_cannot_be_rounded_that_way_is_refused() -> None:
    on = with_ways(11)
    low, high = ways(Size(3, "%"), on), ways(Size(95, "%"), on, "up")
    assert isinstance(low, Finding)
    assert low.message == "3% is below the minimum of 1 way on L3 cache 0"
    assert low.hint == "nearest valid: 9%"
    assert isinstance(high, Finding)
    assert high.message == "95%, rounded up, is the whole of L3 cache 0"
    assert high.hint == "nearest valid: 91%"
    assert ways(Size(95, "%"), on, "nearest") == 10
    assert ways(Size(5, "%"), on, "nearest") == 1
    assert rule(ways(Size(100, "%"), on, "down")) == "CT204"
    assert rule(ways(Size(0, "%"), on, "up")) == "CT206"
    assert rule(ways(Size(2, "%"), with_ways(16, 0), "down")) == "CT206", (
        "AMD accepts no ways, but the request is for some"
    )
    assert ways(Size(0), with_ways(16, 0)) == 0, "as in libvirt"


def test_ways_need_no_size_of_the_cache() -> None:
    on = with_ways(11)
    control = msgspec.structs.replace(on.caches[0], size_bytes={0: None})
    unknown = msgspec.structs.replace(on, caches=(control,))
    assert ways(Size(3, "ways"), unknown) == ways(Size(30, "%"), unknown) == 3
    assert rule(ways(Size(3 * WAY), unknown)) == "CT218"
    assert rule(ways(Size(11, "ways"), unknown)) == "CT204"


PERCENT = BandwidthControl("MB", "percent", 10, 10, 100, (0,))
MPAM = BandwidthControl("MB", "percent", 2, 2, 100, (0,))
ODD = BandwidthControl("MB", "percent", 13, 13, 100, (0,))
MBPS = BandwidthControl("MB", "MiB/s", 0, 1, 4294967295, (0,))
AMD = BandwidthControl("MB", "1/8 GB/s", 0, 1, 2048, (0,))
CONTROLS = (PERCENT, MPAM, ODD, MBPS, AMD, msgspec.structs.replace(AMD, max_bandwidth=None))


def bandwidth(text: str, control: BandwidthControl, rounding: Rounding | None = None) -> int | Finding:
    return bandwidth_of(BandwidthRequest(0, Rate.parse(text), Source(), rounding), control)


@pytest.mark.parametrize(
    ("text", "control", "value"),
    [
        ("50", PERCENT, 50),
        ("50%", PERCENT, 50),
        ("35%", PERCENT, 30),
        ("12.5%", PERCENT, 10),
        ("50", AMD, 50),
        ("6.25GB/s", AMD, 50),
        ("6.3GB/s", AMD, 50),
        ("500MiB/s", AMD, 4),  # 4.19 eighths
        ("119.21MiB/s", AMD, 1),
        ("1024MiB/s", MBPS, 1024),
        ("1024.5MiB/s", MBPS, 1024),
        ("6.25GB/s", MBPS, 5960),  # 5960.46
        ("95%", ODD, 91),
        ("100%", ODD, 100),
    ],
)
def test_a_rate_is_converted_to_what_the_host_counts(text: str, control: BandwidthControl, value: int) -> None:
    assert bandwidth(text, control) == value


@pytest.mark.parametrize(
    ("text", "control", "rounding", "value"),
    [
        ("55", PERCENT, "down", 50),
        ("55", PERCENT, "up", 60),
        ("55", PERCENT, "nearest", 50),
        ("35%", PERCENT, "up", 40),
        ("5%", PERCENT, "up", 10),
        ("5%", PERCENT, "nearest", 10),
        ("95%", ODD, "up", 100),
        ("97%", ODD, "nearest", 100),
        ("6.3GB/s", AMD, "up", 51),
        ("100MiB/s", AMD, "up", 1),
    ],
)
def test_a_bandwidth_is_rounded_in_the_requested_direction(
    text: str, control: BandwidthControl, rounding: Rounding, value: int
) -> None:
    assert bandwidth(text, control, rounding) == value


@pytest.mark.parametrize(
    ("text", "control", "message", "hint"),
    [
        ("55", PERCENT, "bandwidth 55 is not a multiple of 10", "nearest valid: 50 or 60; or plan with --round"),
        ("5%", PERCENT, "bandwidth 5% is outside 10 percent to 100 percent", "nearest valid: 10%"),
        ("110", PERCENT, "bandwidth 110 percent is outside 10 percent to 100 percent", "nearest valid: 100; this host"),
        ("300GB/s", AMD, "bandwidth 300 GB/s is outside 0 (0 GB/s) to 2048 (256 GB/s)", "nearest valid: 256 GB/s"),
        ("100MiB/s", AMD, "bandwidth 100 MiB/s is not a multiple of 1/8 GB/s", "nearest valid: 119.21 MiB/s"),
        (
            "500MiB/s",
            PERCENT,
            "bandwidth 500 MiB/s cannot be converted: this host counts percent",
            "request percent (unit='%')",
        ),
        (
            "50%",
            AMD,
            "bandwidth 50% cannot be converted: this host counts eighths of a GB/s",
            "request GB/s or MiB/s (unit='GB/s' or 'MiB/s')",
        ),
        ("50%", MBPS, "bandwidth 50% cannot be converted: this host counts MiB/s (mba_MBps)", "request GB/s or MiB/s"),
    ],
)
def test_what_the_host_cannot_have_is_refused(text: str, control: BandwidthControl, message: str, hint: str) -> None:
    found = bandwidth(text, control)
    assert isinstance(found, Finding)
    assert found.message == message
    assert found.hint.startswith(hint)


rates = st.builds(
    Rate,
    st.integers(0, 10_000) | st.decimals(0, 300, places=3).map(lambda n: int(n) if n == int(n) else n.normalize()),
    st.sampled_from(["%", "MiB/s", "GB/s"]),
).filter(lambda rate: rate.unit != "%" or rate.number <= 100)


@given(rates, st.sampled_from(CONTROLS), st.sampled_from([None, *ROUNDINGS]))
def test_a_converted_rate_is_valid_and_next_to_the_request(
    rate: Rate, control: BandwidthControl, rounding: Rounding | None
) -> None:
    found = bandwidth_of(BandwidthRequest(0, rate, Source(), rounding), control)
    exact = exact_bandwidth(rate, control.unit)
    if isinstance(found, Finding):
        assert (found.rule == "CT232") == (exact is None)
        nearest = (
            found.hint.removeprefix("nearest valid: ").partition(";")[0].split(" or ") if exact is not None else []
        )
        for text in nearest:
            assert isinstance(bandwidth(text, control), int), (rate, text)
        return
    assert exact is not None
    assert abs(found - exact) < control.bandwidth_gran or found == control.min_bandwidth
    assert found % control.bandwidth_gran == 0 or found == control.max_bandwidth
    assert found > 0 or exact == 0
    slack = Fraction(control.bandwidth_gran, 1000)
    assert found <= exact + slack if rounding in (None, "down") else True
    assert found >= exact - slack if rounding == "up" else True


def test_each_unit_of_a_host_is_converted_or_named() -> None:
    units: dict[str, set[BandwidthUnit]] = {}
    for control in (PERCENT, MBPS, AMD):
        for text in ("50%", "500MiB/s", "6.25GB/s"):
            if isinstance(bandwidth(text, control), int):
                units.setdefault(Rate.parse(text).unit, set()).add(control.unit)
    assert units == {"%": {"percent"}, "MiB/s": {"MiB/s", "1/8 GB/s"}, "GB/s": {"MiB/s", "1/8 GB/s"}}
