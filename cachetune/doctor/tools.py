"""Programs that use resctrl, or the registers behind it, as data."""

from typing import Literal

import msgspec

Effect = Literal["writes", "monitors", "bypasses"]


class Tool(msgspec.Struct, frozen=True):
    """A program and its effect: it writes schemata or removes groups, creates monitor groups, or bypasses resctrl."""

    name: str
    effect: Effect
    does: str


_ALL = (
    Tool("koordlet", "writes", "rewrites the masks of its groups at an interval"),
    Tool("rmd", "bypasses", "writes the registers through libpqos"),
    Tool("intel-rmd", "bypasses", "writes the registers through libpqos"),
    Tool("rdtset", "bypasses", "writes the registers, unless started with -I"),
    Tool("pqos", "bypasses", "uses the registers, unless started with -I"),
    Tool("pqos-msr", "bypasses", "uses the registers"),
    Tool("pqos-os", "writes", "writes through resctrl"),
    Tool("dra-driver-resctrl", "writes", "creates and removes control groups"),
    Tool("cadvisor", "monitors", "creates monitor groups"),
    Tool("resctrl-mon", "monitors", "creates monitor groups for pods"),
    Tool("collectd", "monitors", "with the plugin intel_rdt, uses the registers through libpqos"),
    Tool("telegraf", "monitors", "with the plugin intel_rdt, runs pqos"),
)

TOOLS = {tool.name: tool for tool in _ALL}

KERNEL_INTERFACE = frozenset({"-I", "--iface-os", "--iface=os"})
"""Options with which pqos and rdtset use resctrl. Source: pqos(8)."""
