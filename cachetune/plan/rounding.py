"""What a request amounts to on a host: whole ways, and a number in the host's unit of bandwidth.

Bytes, ways and numbers in the host's own unit are exact: without --round, what the host cannot have is refused. A
percentage, and a rate in another unit, must be converted, which rarely gives a whole number. They are
rounded down, so that shares which fit together on one host fit together on every host. Rounding moves a value by less
than one way or step, never to none and never to the whole cache.
"""

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from msgspec.structs import replace

from cachetune.domain.model import BandwidthRequest, Domain, GroupRequest
from cachetune.host.model import BandwidthControl, BandwidthUnit, CacheControl, Host
from cachetune.units import HUNDRED, Rate, RateUnit, Rounding, Size, SizeUnit

_MIB, _EIGHTH_OF_GB = 1 << 20, 10**9 // 8
_RATES = {"MiB/s": _MIB, "GB/s": 10**9}
_HOST_UNITS: dict[BandwidthUnit, int] = {"MiB/s": _MIB, "1/8 GB/s": _EIGHTH_OF_GB}
# Half a percent counts as nothing, so that 27% is 3 of 11 ways (27.27%), and likewise a thousandth of a rate's step.
_PERCENT_SLACK = Fraction(1, 2)
_RATE_SLACK = Fraction(1, 1000)


def for_host(domain: Domain, host: Host, rounding: Rounding | None) -> Domain:
    """The domain as it is planned on a host: with this rounding, and of a node's bandwidths the one for the host."""
    return replace(domain, groups=tuple(_for_host(group, host, rounding) for group in domain.groups))


def _for_host(group: GroupRequest, host: Host, rounding: Rounding | None) -> GroupRequest:
    nodes: dict[tuple[str, int], BandwidthRequest] = {}
    for node in group.nodes:
        control, place = host.bandwidth(node.resource), (node.resource, node.node_id)
        if place not in nodes or (control and exact_bandwidth(node.bandwidth, control.unit) is not None):
            nodes[place] = replace(node, rounding=rounding)
    caches = tuple(replace(cache, rounding=rounding) for cache in group.caches)
    return replace(group, caches=caches, nodes=tuple(nodes.values()))


def exact_ways(size: Size, control: CacheControl, way_bytes: int) -> Fraction:
    """The ways of a cache that a size is, not rounded. ``way_bytes`` matters only for a size in bytes."""
    number = Fraction(size.number)
    if size.unit == "B":
        return number / way_bytes
    return number * control.ways / HUNDRED if size.unit == "%" else number


def whole_ways(size: Size, exact: Fraction, control: CacheControl, rounding: Rounding | None) -> int | None:
    """``exact`` ways of a size as a whole number, which need not be valid; None if it must not be rounded."""
    if exact.denominator == 1:
        return int(exact)
    slack = _PERCENT_SLACK * control.ways / HUNDRED if size.unit == "%" else Fraction(0)
    rounding = rounding or _default_of(size.unit)
    below = int(exact)
    return rounding and _rounded(exact, below, below + 1, rounding, slack, valid_ways(control).__contains__)


def valid_ways(control: CacheControl) -> range:
    """The numbers of ways that a request can be rounded to: not none, and not the whole cache."""
    return range(max(control.min_cbm_bits, 1), control.ways)


def exact_bandwidth(rate: Rate, unit: BandwidthUnit) -> Fraction | None:
    """A rate in the unit that the host counts, not rounded; None if it cannot be converted.

    What a percentage is as a rate is known on no host: AMD's maximum is that of a register.
    """
    number = Fraction(rate.number)
    if not rate.unit or (rate.unit == "%" and unit == "percent"):
        return number
    if rate.unit not in _RATES or unit not in _HOST_UNITS:
        return None
    return number * _RATES[rate.unit] / _HOST_UNITS[unit]


def whole_bandwidth(rate: Rate, exact: Fraction, control: BandwidthControl, rounding: Rounding | None) -> int | None:
    """``exact`` in the host's unit as a number that the host accepts, None if it cannot be rounded to one."""
    if is_valid_bandwidth(exact, control):
        return int(exact)
    rounding = rounding or _default_of(rate.unit)
    if rounding is None:
        return None
    below, above = steps_around(exact, control)
    slack = _RATE_SLACK * control.bandwidth_gran

    def valid(value: int) -> bool:
        return value > 0 and is_valid_bandwidth(value, control)

    value = _rounded(exact, below, above, rounding, slack, valid)
    return value if valid(value) else None


def steps_around(exact: Fraction, control: BandwidthControl) -> tuple[int, int]:
    """The multiples of the step below and above a value that is not valid; the maximum counts as one."""
    step, most = control.bandwidth_gran, control.max_bandwidth
    below = int(exact // step * step)
    return below, below + step if most is None or exact > most else min(below + step, most)


def is_valid_bandwidth(value: Fraction | int, control: BandwidthControl) -> bool:
    """Whether the host accepts the value as it is: in its range, and a multiple of its step or the maximum."""
    most = control.max_bandwidth
    if value < control.min_bandwidth or (most is not None and value > most):
        return False
    return value % control.bandwidth_gran == 0 or value == most


def in_unit_of(rate: Rate, value: int, unit: BandwidthUnit) -> Rate:
    """A number in the host's unit as a rate in the unit of another, close enough to mean that number again."""
    if not rate.unit or rate.unit == "%":
        return Rate(value, rate.unit)
    exact = Fraction(value * _HOST_UNITS[unit], _RATES[rate.unit])
    digits = 6 if exact < 1 or rate.unit == "GB/s" else 2
    return Rate.parse(f"{Decimal(exact.numerator) / exact.denominator:.{digits}f} {rate.unit}")


def _default_of(unit: SizeUnit | RateUnit) -> Rounding | None:
    """Bytes, ways and the host's own numbers are not rounded; everything else must be converted."""
    return None if unit in ("B", "ways", "") else "down"


def _rounded(
    exact: Fraction, below: int, above: int, rounding: Rounding, slack: Fraction, valid: Callable[[int], bool]
) -> int:
    """One of the numbers ``below`` and ``above``: a valid one within ``slack``, or as ``rounding`` says.

    The nearest one is the valid one of the two, if only one is, and the lower one of equally near ones.
    """
    near, far = (above, below) if above - exact < exact - below else (below, above)
    if abs(near - exact) <= slack and valid(near):
        return near
    if rounding == "nearest":
        return far if valid(far) and not valid(near) else near
    return below if rounding == "down" else above
