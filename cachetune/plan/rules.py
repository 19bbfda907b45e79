"""The rules that hold a domain against a host (CT2xx) and against a running guest (CT4xx)."""

from cachetune.findings import Rule


def _cputune(inner: str, vcpus: int = 4) -> str:
    return f"<domain type='kvm'><name>g</name><vcpu>{vcpus}</vcpu><cputune>{inner}</cputune></domain>"


def _cache(attributes: str) -> str:
    return _cputune(f"<cachetune vcpus='0-1'><cache {attributes}/></cachetune>")


def _node(node: int, bandwidth: int) -> str:
    return _cputune(f"<memorytune vcpus='0-1'><node id='{node}' bandwidth='{bandwidth}'/></memorytune>")


# The default group of a fresh host owns every way, so samples that must fit ask for bandwidth or for nothing else.
_FITS = _node(0, 50)
_MONITOR = _cputune("<cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune>")
_L3 = "id='0' level='3' type='both'"

_ALL = (
    Rule(
        id="CT201",
        severity="error",
        summary="The cache level must have allocation control on the host.",
        message="this host has no allocation control for level {level} caches",
        fix="the host controls {available}",
        bad=_cache("id='0' level='2' type='both' size='1' unit='MiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT202",
        severity="error",
        summary="The cache type must match how resctrl is mounted: code and data with CDP, both without.",
        message="type '{type}' cannot be had on L{level} of this host",
        fix="use type {available}, or mount resctrl {mount} the option {option}",
        bad=_cache("id='0' level='3' type='code' size='2304' unit='KiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT203",
        severity="error",
        summary="The cache id must exist on the host.",
        message="there is no {resource} cache with id {id}",
        fix="the cache ids are {available}",
        bad=_cache("id='7' level='3' type='both' size='2304' unit='KiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT204",
        severity="error",
        summary="A request must leave some of the cache to the others.",
        message="{size} is the whole of {resource} cache {id}",
        fix="at most {most} can be given to one group",
        bad=_cache(f"{_L3} size='25344' unit='KiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT205",
        severity="error",
        summary="A size must be a whole number of ways: nothing is rounded.",
        message="{size} is not a multiple of the way size {way} of {resource} cache {id}",
        fix="the nearest sizes are {nearest}",
        bad=_cache(f"{_L3} size='3' unit='MiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT206",
        severity="error",
        summary="A size must have at least the number of ways that the processor demands.",
        message="{size} on {resource} cache {id} is less than the least allocation of {least}",
        fix="ask for {least} or more",
        bad=_cache(f"{_L3} size='0'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT207",
        severity="error",
        summary="There must be a hole of free ways that is large enough.",
        message="no room for {ways} ({size}) on {resource} cache {id}: {free} free, largest hole {hole}; {owners}",
        fix="{advice}",
        bad=_cache(f"{_L3} size='2304' unit='KiB'"),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT208",
        severity="error",
        summary="The host must have memory bandwidth control.",
        message="this host has no memory bandwidth control",
        fix="remove <memorytune> or choose a host with MBA",
        bad=_node(0, 50),
        good=_MONITOR,
        host="sim:monitor-only",
    ),
    Rule(
        id="CT209",
        severity="error",
        summary="The node id must exist on the host.",
        message="there is no memory bandwidth node {id}",
        fix="the node ids are {available} (the ids of the L3 caches)",
        bad=_node(9, 50),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT210",
        severity="error",
        summary="A bandwidth must be a multiple of the host's step.",
        message="bandwidth {value} is not a multiple of {step}",
        fix="the nearest values are {nearest}",
        bad=_node(0, 55),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT211",
        severity="error",
        summary="A bandwidth must be within the host's range.",
        message="bandwidth {value} is outside {least} to {most} ({unit})",
        fix="the nearest legal value is {nearest}",
        bad=_node(0, 110),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT212",
        severity="error",
        summary="Every control group needs a CLOSID.",
        message="{needed} more control groups need {needed} CLOSIDs, {free} of {total} are free; {owners}",
        fix="remove groups that are no longer needed; monitors without <cache> or <node> need no CLOSID",
        bad=_cputune(
            "".join(f"<memorytune vcpus='{n}'><node id='0' bandwidth='50'/></memorytune>" for n in range(16)), vcpus=16
        ),
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT213",
        severity="error",
        summary="Every group on a host with monitoring needs an RMID.",
        message="{needed} more groups need {needed} RMIDs, {free} of {total} are free",
        fix="remove monitors that are no longer needed",
        bad=_cputune(
            "".join(f"<cachetune vcpus='{n}'><monitor level='3' vcpus='{n}'/></cachetune>" for n in range(512)),
            vcpus=512,
        ),
        good=_MONITOR,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT214",
        severity="error",
        summary="A monitor needs a host with monitoring.",
        message="this host has no monitoring, so no monitor for {resource} can be made",
        fix="remove the <monitor> or choose a host with CMT or MBM",
        bad=_MONITOR,
        good=_FITS,
        host="sim:allocation-only",
    ),
    Rule(
        id="CT215",
        severity="error",
        summary="Each group needs a directory name of its own that resctrl accepts.",
        message="the group for vCPUs {vcpus} cannot be called '{name}': {why}",
        fix="change the id attribute, or give another --machine-name",
        bad="<domain type='kvm' id='1'><name>g</name><vcpu>4</vcpu><cputune><cachetune vcpus='0' id='../x'>"
        "<monitor level='3' vcpus='0'/><cache id='0' level='3' type='both' size='2304' unit='KiB'/>"
        "</cachetune></cputune></domain>",
        good=_FITS,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT216",
        severity="error",
        summary="A group that belongs to somebody else is never changed.",
        message="group '{path}' exists and belongs to {owner}: {why}",
        fix="leave it to its owner, or give another --machine-name",
    ),
    Rule(
        id="CT217",
        severity="warning",
        summary="Ways that the hardware also uses for I/O are not the guest's alone.",
        message="mask {mask} on {resource} cache {id} includes ways that are shared with I/O ({shared})",
        fix="I/O traffic can displace the guest's lines there; --shrink-default leaves those ways to the default group",
    ),
    Rule(
        id="CT218",
        severity="error",
        summary="The size of the cache must be known to turn bytes into ways.",
        message="the size of {resource} cache {id} is not known",
        fix="give the matching --sysfs, or a resctrl tree that has 'size' files",
    ),
    Rule(
        id="CT219",
        severity="error",
        summary="The default group must not be exclusive: groups share its ways on caches that they do not ask for.",
        message="the default group is in mode exclusive, so nobody can share its ways on {caches}",
        fix="write 'shareable' to the default group's mode, or ask for a size on every cache",
    ),
    Rule(
        id="CT220",
        severity="warning",
        summary="A monitor is of use only where the host counts the events.",
        message="this host has none of the events that a monitor for {resource} reads ({events})",
        fix="the group is made all the same, but the monitor reads nothing for it",
        bad=_cputune("<energytune vcpus='0'><monitor vcpus='0'/></energytune>"),
        good=_MONITOR,
        host="sim:skylake-2s",
    ),
    Rule(
        id="CT221",
        severity="warning",
        summary="Under mba_MBps any number of MiB/s is legal, but libvirt still demands the step for percent.",
        message="libvirt would refuse bandwidth {value} on this host: it is not a multiple of 10",
        fix="use a multiple of 10 if libvirt must accept the same XML",
        bad=_node(0, 1024),
        good=_node(0, 1020),
        host="sim:sapphire-rapids-mbps",
    ),
    Rule(
        id="CT222",
        severity="warning",
        summary="Groups that libvirt made for the guest are changed only on request.",
        message="libvirt made {groups}",
        fix="apply with --adopt to change what libvirt has set, or restart the guest to have libvirt set it anew",
    ),
    Rule(
        id="CT401",
        severity="warning",
        summary="Every vCPU in a group should have a thread.",
        message="vCPUs {vcpus} have no thread yet",
        fix="offline vCPUs join their group when you plan again after they are plugged in",
    ),
    Rule(
        id="CT402",
        severity="error",
        summary="Threads are not taken out of groups that belong to somebody else.",
        message="thread {tid} is in group '{path}', which belongs to {owner}",
        fix="remove it there first, or plan with --take-tasks",
    ),
    Rule(
        id="CT403",
        severity="warning",
        summary="Without threads a plan makes groups that nobody is in.",
        message="no guest was given, so no thread will be moved",
        fix="give --guest NAME, --pid PID, or --vcpu N=TID for each vCPU",
    ),
    Rule(
        id="CT404",
        severity="error",
        summary="A whole-process group needs the process.",
        message="a group for the whole process needs all of its threads",
        fix="give --pid PID instead of --vcpu",
    ),
    Rule(
        id="CT405",
        severity="warning",
        summary="A thread that was named should be of use.",
        message="vCPU {vcpu} is in no group, so its thread {tid} stays where it is",
        fix="leave out --vcpu {vcpu}={tid}, or add the vCPU to a group",
    ),
)

RULES = {rule.id: rule for rule in _ALL}
