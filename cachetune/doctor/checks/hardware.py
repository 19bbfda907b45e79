"""CT60x: what the processor has, and what its caches are shared with."""

from cachetune.doctor.checks.groups import guest_groups, named, own_ways, requests_of
from cachetune.doctor.examination import Examination, Kernel, Unknown
from cachetune.doctor.model import NotCheckedError, Verdict, broken, check, info, known, ok
from cachetune.findings import Rule
from cachetune.host.diagnosis import missing_l3_control
from cachetune.host.model import Host
from cachetune.text import count, listed

# The flag of /proc/cpuinfo for each resource, and the option of rdt= that switches it on or off.
_RESOURCES = {
    "L3": ("cat_l3", "l3cat"),
    "L2": ("cat_l2", "l2cat"),
    "MB": ("mba", "mba"),
    "L3_MON": ("cqm_llc", "cmt,mbmtotal,mbmlocal"),
}
_FLAGS = frozenset(flag for flag, _ in _RESOURCES.values())
_CONTROLLING = ("L3", "L2", "MB")
_NO_HARDWARE = "to try cachetune without the hardware: 'cachetune demo', or --host sim:skylake-2s"


def _processor(rule: Rule, seen: Examination) -> Verdict:
    processor = known(seen.processor)
    flags = sorted(_FLAGS & processor.flags)
    if flags:
        return ok(f"the processor has {listed(flags)}")
    if processor.mpam:
        return ok("the firmware describes MPAM")
    if isinstance(seen.host, Host):
        return info("/proc/cpuinfo has no flag for it, but resctrl is available")
    if processor.is_virtual:
        return broken(
            rule,
            text="this is a virtual machine, to which its hypervisor shows no cache allocation",
            fix=f"run cachetune on the physical host; {_NO_HARDWARE}",
        )
    return broken(rule, model=processor.model or "this processor")


PROCESSOR = check(
    Rule(
        id="CT601",
        severity="error",
        summary="The processor must have cache allocation, bandwidth allocation or cache monitoring.",
        message="{model} has no cache allocation: /proc/cpuinfo has none of cat_l3, cat_l2, mba and cqm_llc",
        fix=f"enable RDT (AMD: PQoS) in the BIOS, if the processor has it; {_NO_HARDWARE}",
        bad="a virtual machine, whose /proc/cpuinfo has the flag hypervisor and none of the others",
        good="a server whose /proc/cpuinfo has cat_l3, mba and cqm_llc",
        host="scene",
    ),
    "hardware",
    "processor",
)(_processor)


def _resources(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    there = {"L3" if name.startswith("L3") and name != "L3_MON" else name for name in host.resource_names}
    there |= {"L2" for cache in host.caches if cache.level == 2}
    if isinstance(seen.processor, Unknown):
        diagnosis = missing_l3_control(host)
        if diagnosis and host.caches:
            return info(diagnosis.what, diagnosis.remedy)  # the L2 may be the last cache
        if diagnosis:
            return broken(rule, text=diagnosis.what, fix=diagnosis.remedy)
        return ok(f"resctrl has {listed([name for name in _RESOURCES if name in there])}")
    missing = [name for name, (flag, _) in _RESOURCES.items() if flag in seen.processor.flags and name not in there]
    if missing:
        flags, options = ([_RESOURCES[name][place] for name in missing] for place in (0, 1))
        off = [option for option in ",".join(options).split(",") if f"!{option}" in _rdt_options(seen.kernel)]
        fix = f"remove {', '.join(f'!{option}' for option in off)} from rdt= and reboot" if off else None
        return broken(rule, flags=listed(flags), missing=listed(missing), options=",".join(options), fix=fix)
    if not there & set(_CONTROLLING):
        return info("the processor only monitors: resctrl has nothing to allocate")
    if "L3" not in there and "cat_l3" not in seen.processor.flags and not seen.processor.mpam:
        return info(f"the processor has no L3 allocation; resctrl has {listed(sorted(there))}")
    return ok(f"resctrl has {listed([name for name in _RESOURCES if name in there])}")


def _rdt_options(kernel: Kernel | Unknown) -> set[str]:
    """The options after rdt= on the kernel's command line."""
    if isinstance(kernel, Unknown) or isinstance(kernel.command_line, Unknown):
        return set()
    words = (word for word in kernel.command_line.split() if word.startswith("rdt="))
    return {option for word in words for option in word.removeprefix("rdt=").split(",")}


RESOURCES = check(
    Rule(
        id="CT602",
        severity="warning",
        summary="resctrl must offer what the processor has.",
        message="the processor has {flags}, but resctrl has no {missing}",
        fix="boot with rdt={options}: the kernel leaves it off on some processors",
        bad="/proc/cpuinfo has cat_l3, and info/ has MB and L3_MON but no L3",
        good="/proc/cpuinfo has cat_l3, and info/ has L3",
        host="scene",
    ),
    "hardware",
    "resources",
)(_resources)


def _sub_numa(rule: Rule, seen: Examination) -> Verdict:
    nodes = known(seen.host).snc_nodes
    if nodes == 1:
        return ok("no Sub-NUMA clustering is visible in mon_data")
    try:
        requests = requests_of(seen)
    except NotCheckedError:
        requests = {}
    asking = [name for name, domain in requests.items() if any(g.caches for g in domain.groups)]
    if asking:
        return broken(rule, nodes=nodes, guests=count(len(asking), "guest"), details=tuple(sorted(asking)))
    return info(f"Sub-NUMA clustering is on: {nodes} nodes share each L3 cache, and each gets 1/{nodes} of a way")


SUB_NUMA = check(
    Rule(
        id="CT603",
        severity="warning",
        summary="With Sub-NUMA clustering, a way of L3 is smaller than its size suggests.",
        message="{nodes} Sub-NUMA nodes share each L3 cache: {guests} will get 1/{nodes} of the requested size on each",
        fix="request {nodes} times the size that a guest needs on one node, or switch clustering off in the BIOS",
        bad="a guest with an L3 request on a host whose mon_data has mon_sub_L3_00 and mon_sub_L3_01",
        good="the same guest on a host without Sub-NUMA clustering",
        host="scene",
    ),
    "hardware",
    "Sub-NUMA clustering",
)(_sub_numa)


def _device_ways(rule: Rule, seen: Examination) -> Verdict:
    host = known(seen.host)
    shared = []
    for group in guest_groups(host):
        for cache, cache_id, mask in own_ways(host, group):
            if not cache.shares_all and (both := mask & cache.io_ways(cache_id)):
                shared.append((group.path, f"{group.path}: {cache.name} cache {cache_id}, ways {both:x}"))
    if shared:
        groups = list(dict.fromkeys(path for path, _ in shared))
        return broken(rule, groups=named(groups), details=tuple(detail for _, detail in shared))
    on = [cache.name for cache in host.caches if cache.io_alloc]
    if on:
        return ok(f"io_alloc is on for {listed(on)}, and no guest has the ways that devices use")
    return ok("no guest has ways that devices use")


DEVICE_WAYS = check(
    Rule(
        id="CT604",
        severity="warning",
        summary="A guest should not have ways that devices fill.",
        message="devices fill ways of {groups} as well",
        fix="remove the groups and apply the guest again; 'cachetune show' marks ways of devices with ^",
        bad="a guest's group has ways 600, and shareable_bits is 600",
        good="a guest's group has ways 00f, and shareable_bits is 600",
        host="scene",
    ),
    "hardware",
    "ways of devices",
)(_device_ways)

CHECKS = (PROCESSOR, RESOURCES, SUB_NUMA, DEVICE_WAYS)
