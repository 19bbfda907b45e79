"""MB of Arm MPAM as Linux 7.2 has it: a register of fraction bits for each group and node."""

import re

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

    def shows(self, percent: int) -> int:
        """The percentage in schemata while this one is set."""
        return self.percent(self.value(percent) % (1 << _REGISTER_BITS))

    def shows_after(self, percent: int) -> int:
        """The percentage in schemata after this one was written."""
        return self.shows(self.rounded(percent))


def _closest(number: int, divisor: int) -> int:
    return (2 * number + divisor) // (2 * divisor)


def mpam_control(bits: int) -> BandwidthControl:
    """MB as a host with such registers describes it."""
    register = Register(bits)
    return BandwidthControl("MB", "percent", register.least, register.step, 100, (0, 1))


class MpamResctrl(SimulatedResctrl):
    """skylake-2s, but its MB has such registers: schemata shows what they hold."""

    def __init__(self, bits: int) -> None:
        self._register = Register(bits)
        profile = load_profile("skylake-2s")
        (bandwidth,) = profile.bandwidths
        least, step = self._register.least, self._register.step
        bandwidth = msgspec.structs.replace(bandwidth, min_bandwidth=least, bandwidth_gran=step)
        super().__init__(msgspec.structs.replace(profile, bandwidths=(bandwidth,)))
        for tid in TIDS:
            self.add_task(tid)

    def read(self, path: str) -> str:
        text = super().read(path)
        if path.rpartition("/")[2] != "schemata":
            return text
        return re.sub(r"^ *MB:.*$", lambda line: re.sub(r"=\s*(\d+)", self._shown, line[0]), text, flags=re.MULTILINE)

    def _shown(self, found: re.Match[str]) -> str:
        return f"={self._register.shows(int(found[1]))}"
