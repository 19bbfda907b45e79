"""What a host keeps of a bandwidth. Arm MPAM keeps a percentage as a fraction of a few bits, so it shows another one.

The kernel rounds what is written up to the next multiple of bandwidth_gran, then to the nearest fraction, at least the
smallest, and shows the nearest percent of that: with 6 bits 10 becomes 6/64 and reads as 9. With 5 bits, writing the 13
that it shows makes 16 of it, so what is put back is written as a value that becomes it. Other hosts keep what they get.
Source: bw_validate in fs/resctrl, percent_to_mbw_max and mbw_max_to_percent in mpam_resctrl.c of Linux 7.2.
"""

from collections.abc import Iterable

from cachetune.cbm import Bandwidth
from cachetune.host.model import BandwidthControl
from cachetune.host.resctrl.schemata import Schemata

_PERCENT = 100


def kept(control: BandwidthControl, value: int) -> int:
    """What the host shows after ``value`` was written, both in the control's unit."""
    bits = control.fraction_bits
    if bits is None:
        return value
    rounded = -(-value // control.bandwidth_gran) * control.bandwidth_gran
    return _nearest(min(max(_nearest(rounded << bits, _PERCENT), 1), 1 << bits) * _PERCENT, 1 << bits)


def to_write(control: BandwidthControl, shown: int) -> int:
    """What to write for the host to show ``shown``: a multiple of the step if there is one, else ``shown`` itself."""
    step = control.bandwidth_gran
    if control.fraction_bits is None or (shown % step == 0 and kept(control, shown) == shown):
        return shown
    steps = range(-(-control.min_bandwidth // step) * step, _PERCENT + 1, step)
    return next((value for value in reversed(steps) if kept(control, value) == shown), shown)


def shows(controls: Iterable[BandwidthControl], found: Schemata, written: Schemata) -> bool:
    """Whether ``found`` is what a host shows after ``written`` was written to it. Values not written do not matter."""
    by_name = {control.name: control for control in controls}
    return found.masks.covers(written.masks) and all(
        found.bandwidth.at(name, i) in ({value, kept(by_name[name], value)} if name in by_name else {value})
        for name, i, value in written.bandwidth.entries()
    )


def as_written(controls: Iterable[BandwidthControl], bandwidth: Bandwidth) -> Bandwidth:
    """The values to write for these to be shown."""
    by_name = {control.name: control for control in controls}
    return Bandwidth.of(
        (name, i, to_write(by_name[name], value) if name in by_name else value)
        for name, i, value in bandwidth.entries()
    )


def _nearest(number: int, divisor: int) -> int:
    return (number + divisor // 2) // divisor
