"""Why a host lacks what its processor may have, and what to do: one text for rules, ``show`` and the doctor."""

import msgspec

from cachetune.host.model import Host

_X86 = (
    "if /proc/cpuinfo has the flag cat_l3, boot with rdt=l3cat: Linux leaves it off on Skylake and Cascade Lake "
    "servers; without the flag, enable RDT (AMD: PQoS) in the BIOS; a virtual machine does not have it"
)
_ARM = "the firmware's MPAM table must describe the L3 as a cache with portions; a virtual machine does not have it"


class Diagnosis(msgspec.Struct, frozen=True):
    """``what`` is missing, as a sentence without a full stop, and the ``remedy``, a hint."""

    what: str
    remedy: str


def missing_l3_control(host: Host) -> Diagnosis | None:
    """Why no group can be given L3 ways on a host whose resctrl is mounted; None if L3 caches are controlled.

    The processor may have L3 allocation even so: resctrl is mounted if there is anything to monitor or to limit.
    Source: set_rdt_options() in the kernel's arch/x86/kernel/cpu/resctrl/core.c.
    """
    if any(cache.level == 3 for cache in host.caches):
        return None
    return Diagnosis(_what(host), _ARM if _is_arm(host) else _X86)


def _what(host: Host) -> str:
    if any(monitor.name == "L3_MON" for monitor in host.monitors):
        return "the L3 caches can be monitored but not allocated: info/ has L3_MON but no L3"
    return "the L3 caches cannot be allocated: info/ has no L3"


def _is_arm(host: Host) -> bool:
    """Whether this is MPAM, as far as a host without L3 control shows it: on x86, MB in percent has steps of 10."""
    return host.is_mpam or any(b.unit == "percent" and b.bandwidth_gran != 10 for b in host.bandwidths)
