"""MB of Arm MPAM as Linux 7.2 has it: a register of fraction bits for each group and node."""

import msgspec

from cachetune.host.model import BandwidthControl
from cachetune.sim import SimulatedResctrl, load_profile
from tests.samples import TIDS

_REGISTER_BITS = 16


class Register:
    """MBW_MAX with this many fraction bits, which are the highest of 16; all ones are 100 percent."""

    def __init__(self, bits: int) -> None:
        self._bits, self._unused = bits, _REGISTER_BITS - bits
        self.step = -(-100 // (1 << bits))
        self.least = self.percent(0)

    def value(self, percent: int) -> int:
        """What the kernel computes for a percentage, which may be more than the register holds."""
        return (max(_closest(percent << self._bits, 100), 1) - 1) << self._unused

    def rounded(self, percent: int) -> int:
        """The percentage that is set when this one is written."""
        return -(-percent // self.step) * self.step

    def overflows(self, percent: int) -> bool:
        """Whether writing this percentage sets more than the register holds."""
        return self.value(self.rounded(percent)) >= 1 << _REGISTER_BITS

    def percent(self, value: int) -> int:
        return _closest(((value >> self._unused) + 1) * 100, 1 << self._bits)

    def shows_after(self, percent: int) -> int:
        """The percentage in schemata after this one was written."""
        return self.percent(self.value(self.rounded(percent)) % (1 << _REGISTER_BITS))


def _closest(number: int, divisor: int) -> int:
    return (2 * number + divisor) // (2 * divisor)


def mpam_control(bits: int) -> BandwidthControl:
    """MB as a host with such registers describes it."""
    register = Register(bits)
    return BandwidthControl("MB", "percent", register.least, register.step, 100, (0, 1))


def mpam_host(bits: int) -> SimulatedResctrl:
    """A simulated host with such registers, and with a guest's threads."""
    profile, control = load_profile("kunpeng-920-mpam"), mpam_control(bits)
    (bandwidth,) = profile.bandwidths
    bandwidth = msgspec.structs.replace(
        bandwidth,
        min_bandwidth=control.min_bandwidth,
        bandwidth_gran=control.bandwidth_gran,
        fraction_bits=bits,
    )
    sim = SimulatedResctrl(msgspec.structs.replace(profile, bandwidths=(bandwidth,)), kernel="7.3")
    for tid in TIDS:
        sim.add_task(tid)
    return sim
