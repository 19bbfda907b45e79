"""Hosts as people have reported them, each as small as the report allows, and the guests that were planned on them."""

import re
from pathlib import Path

from cachetune.domain import load
from cachetune.domain.model import Domain
from cachetune.findings import Finding
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.resctrl.files import SysfsResctrl
from cachetune.plan import Options, Plan, PlanRefusedError, plan
from cachetune.plan.render import render
from tests.host.trees import ALL_EVENTS, Tree, bandwidth, below, cache, group, make, monitoring

L3_WAY = 2304  # KiB in one way of the Skylake's L3
SHRINK = Options(shrink_default=True)


def _skylake(schemata: str, rmids: int = 144) -> Tree:
    return {
        **below("info/L3", cache("7ff", 16, shareable="600")),
        **below("info/MB", bandwidth()),
        **below("info/L3_MON", monitoring(*ALL_EVENTS, rmids=rmids)),
        **group(f"    {schemata}\n    MB:0=100;1=100", "1"),
    }


def _empty(*paths: str) -> Tree:
    """Monitor groups without tasks."""
    return {f"{path}/{file}": "" for path in paths for file in ("tasks", "cpus_list")}


# cAdvisor has left a monitor group for each container that it ever saw.
CADVISOR_ORPHANS = {
    **_skylake("L3:0=7ff;1=7ff", rmids=32),
    "size": "L3:0=25952256;1=25952256",
    **_empty(*(f"mon_groups/cadvisor-container-{number:02}" for number in range(30))),
}

# The default group has been shrunk by hand, so the only free ways are those shared with I/O.
ONLY_IO_WAYS_FREE = {**_skylake("L3:0=1ff;1=1ff"), "size": "L3:0=21233664;1=21233664"}

# A real-time group of the operator has two ways of each cache for itself.
EXCLUSIVE = {
    **_skylake("L3:0=7f0;1=7f0"),
    "size": "L3:0=16515072;1=16515072",
    **below("rt", group("L3:0=003;1=003\nMB:0=100;1=100", "99", "exclusive")),
}

# Beside runc and CRI-O: the container's group overlaps all others, and every way has an owner.
CONTAINERS = {
    **below("info/L3", cache("fff", 15, shareable="c00")),
    **below("info/L3_MON", monitoring(*ALL_EVENTS, rmids=224)),
    "size": "L3:0=37748736",
    **group("L3:0=fff", "1"),
    **below(f"{'0123456789abcdef' * 4}", group("L3:0=fff", "70")),
    **below("goresctrl.BestEffort", group("L3:0=007", "60")),
    **below("goresctrl.Guaranteed", group("L3:0=ff8", "50\n51")),
}

# An EPYC whose devices allocate in the four lowest ways, fresh after boot.
IO_ALLOC = {
    **below("info/L3", cache("ffff", 16, least=0, sparse_masks="1")),
    "info/L3/io_alloc": "enabled",
    "info/L3/io_alloc_cbm": "0=000f;1=000f",
    "info/L3/bit_usage": "0=SSSSSSSSSSSSXXXX;1=SSSSSSSSSSSSXXXX",
    **below("info/MB", bandwidth(0, 1, 0, 16)),
    **group("    MB:0=4096;1=4096\n    L3:0=ffff;1=ffff", "1"),
    "size": "    MB:0=4096;1=4096\n    L3:0=33554432;1=33554432",
}

# A Cascade Lake that was not booted with rdt=l3cat.
NO_L3_CONTROL = {
    **below("info/MB", bandwidth()),
    **below("info/L3_MON", monitoring(*ALL_EVENTS, rmids=192)),
    **group("MB:0=100;1=100", "1"),
}

# Two L3 caches, but memory bandwidth control for the first one only.
MB_OF_ONE_L3 = {
    **below("info/L3", cache("7fff", 15, shareable="6000")),
    **below("info/MB", bandwidth(closids=15)),
    **group("    MB:0= 100\n    L3:0=7ff0;1=7ff0", "1"),
    "size": "    MB:0= 100\n    L3:0=46137344;1=46137344",
}

# Kunpeng: MB is per NUMA node, L3 per cache, and the kernel has lines that mainline does not have.
_KUNPENG_SCHEMATA = """\
   MB:0=0000100;1=0000100
   L3:1=ffffff0;122=ffffff0
   MBHDL:0=0000001;1=0000001
   L3PRI:1=0000000;122=0000000"""
KUNPENG = {
    **below("info/L3", cache("fffffff", 32, shareable="fffffff", sparse_masks="1")),
    **below("info/MB", bandwidth(1, 1, 1, 32)),
    **below("info/L3_MON", monitoring("llc_occupancy", rmids=128)),
    "info/L3PRI/num_closids": "32",
    "info/MBHDL/num_closids": "32",
    **group(_KUNPENG_SCHEMATA, "1\n2"),
    "size": "   MB:0=0000100;1=0000100\n   L3:1=50331648;122=50331648",
}
KUNPENG_WITH_DEVICE = {**KUNPENG, **below("nic", group(_KUNPENG_SCHEMATA, "iommu_group:17"))}

# MPAM whose kernel reports one RMID, although each control group has several.
MPAM_WITH_ONE_RMID = {
    **below("info/L3", cache("ffff", 64, shareable="ffff", sparse_masks="1")),
    **below("info/MB", bandwidth(1, 1, 1, 64)),
    **below("info/L3_MON", monitoring("llc_occupancy", rmids=1)),
    **group("    MB:0=100;1=100\n    L3:0=fff0;1=fff0", "1"),
    "size": "    MB:0=100;1=100\n    L3:0=50331648;1=50331648",
    **below("batch", group("    MB:0=20;1=20\n    L3:0=fff0;1=fff0", "700")),
    **_empty("batch/mon_groups/job1"),
}


def host(tree: Tree, directory: Path) -> Host:
    """The host of a tree."""
    return read_host(SysfsResctrl(make(directory / "resctrl", tree)))


def guest(cputune: str, vcpus: str = "<vcpu>4</vcpu>") -> Domain:
    """The guest "web" with this ``<cputune>``, on line 4 and following."""
    xml = f"<domain type='kvm'>\n<name>web</name>\n{vcpus}<cputune>\n{cputune}\n</cputune></domain>"
    loaded = load(xml.encode(), "web.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain


def l3(kib: int, cache_id: int = 0) -> str:
    """A ``<cachetune>`` for vCPUs 0-1 with this much of an L3 cache."""
    size = f"<cache id='{cache_id}' level='3' type='both' size='{kib}' unit='KiB'/>"
    return f"<cachetune vcpus='0-1'>{size}</cachetune>"


def node(node_id: int, value: int = 50) -> str:
    """A ``<memorytune>`` for vCPUs 0-3."""
    return f"<memorytune vcpus='0-3'><node id='{node_id}' bandwidth='{value}'/></memorytune>"


def refused(domain: Domain, on: Host, options: Options = Options()) -> Finding:  # noqa: B008
    """The one error that a plan is refused for."""
    try:
        plan(domain, on, None, options)
    except PlanRefusedError as error:
        (finding,) = (f for f in error.findings if f.severity == "error")
        return finding
    raise AssertionError("the plan was not refused")


def planned(domain: Domain, on: Host, running: Guest | None = None, options: Options = Options()) -> Plan:  # noqa: B008
    """The plan."""
    return plan(domain, on, running, options)


def warning(made: Plan, rule: str) -> Finding:
    """The plan's one warning of this rule."""
    (finding,) = (f for f in made.warnings if f.rule == rule)
    return finding


def rules(made: Plan) -> list[str]:
    """The rules of a plan's warnings, but for CT403: most of these guests are not running."""
    return [f.rule for f in made.warnings if f.rule != "CT403"]


def text(made: Plan) -> str:
    """The plan as text, without the blanks that align its columns."""
    return "\n".join(re.sub(r"(?<=\S) {2,}", "  ", line.text) for line in render(made))
