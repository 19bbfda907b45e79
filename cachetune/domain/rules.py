"""The rules for a domain, as data: CT0xx for XML and schema, CT1xx for meaning, CT3xx for a libvirt version.

Each rule has two samples that a test runs: ``bad`` breaks the rule, ``good`` breaks none. ``host`` says
how they are checked: "" as they are, ``libvirt:9.0`` with --libvirt 9.0, ``schema`` with an installed libvirt's schema,
``file`` as the name of a file, ``engine`` by the schema engine without the diagnosis, ``live`` as the XML of a running
guest.

CT1xx follow libvirt 12.8: CT100 to CT149 are errors there too, CT150 to CT159 are warnings where libvirt is silent.
CT16x and CT17x are about what cachetune adds to libvirt's elements.
"""

from cachetune.findings import Rule


def _domain(cputune: str, vcpus: str = "4", kind: str = "kvm") -> str:
    return f"<domain type='{kind}'><name>guest</name><vcpu>{vcpus}</vcpu><cputune>{cputune}</cputune></domain>"


def _tuning(cputune: str) -> str:
    return f"<cputune>{cputune}</cputune>"


def _cachetune(children: str, vcpus: str = "0-1") -> str:
    return f"<cachetune vcpus='{vcpus}'>{children}</cachetune>"


def _cache(cache_id: int = 0, kind: str = "both", size: str = "size='3' unit='MiB'", level: int = 3) -> str:
    return f"<cache id='{cache_id}' level='{level}' type='{kind}' {size}/>"


def _monitor(vcpus: str, level: str = " level='3'") -> str:
    return f"<monitor{level} vcpus='{vcpus}'/>"


def _for(attributes: str) -> str:
    """A tuning file whose <cachetune> has these attributes."""
    return _tuning(f"<cachetune {attributes}>{_cache()}</cachetune>")


def _memorytune(children: str, vcpus: str = "0-1") -> str:
    return f"<memorytune vcpus='{vcpus}'>{children}</memorytune>"


_ONE = _cachetune(_cache())
_GOOD = _domain(_ONE)
_NODE = "<node id='0' bandwidth='50'/>"

_SCHEMA = (
    Rule(
        id="CT001",
        severity="error",
        summary="The document must be well-formed XML.",
        message="not well-formed XML: {reason}",
        fix="fix the XML first; nothing else was checked",
        bad="<domain>\n  <cputune>\n</domain>",
        good="<domain>\n  <cputune/>\n</domain>",
    ),
    Rule(
        id="CT002",
        severity="error",
        summary="The root element must be <domain>, or <cputune> in a tuning file, without a namespace.",
        message="the root element is <{element}>{where}, expected <domain> or <cputune>",
        fix="pass domain XML, as `virsh dumpxml` prints it, or its <cputune> element alone",
        bad=_ONE,
        good=_tuning(_ONE),
    ),
    Rule(
        id="CT003",
        severity="error",
        summary="Elements in the schema take only the attributes that it defines.",
        message="attribute '{attribute}' is not allowed on <{element}>{suggestion}",
        fix="allowed on <{element}>: {allowed}",
        bad=_domain(_cachetune("<cache id='0' levl='3' type='both' size='3' unit='MiB'/>")),
        good=_GOOD,
    ),
    Rule(
        id="CT004",
        severity="error",
        summary="Attributes that the schema requires must be present.",
        message="<{element}> is missing the required attribute '{attribute}'",
        fix="add {attribute}='…': {expected}",
        bad=_domain(_cachetune("<cache id='0' type='both' size='3' unit='MiB'/>")),
        good=_GOOD,
    ),
    Rule(
        id="CT005",
        severity="error",
        summary="The value of an attribute must have the form that the schema defines.",
        message="{value} is not a valid {attribute} for <{element}>{suggestion}",
        fix="expected {expected}",
        bad=_domain(_cachetune(_cache(size="size='3 MiB'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT006",
        severity="error",
        summary="Elements in the schema take only the child elements that it defines.",
        message="<{child}> is not allowed in <{element}>{suggestion}",
        fix="allowed in <{element}>: {allowed}",
        bad=_domain(_cachetune(_cache() + "<moniter vcpus='0'/>")),
        good=_domain(_cachetune(_cache() + _monitor("0"))),
    ),
    Rule(
        id="CT007",
        severity="error",
        summary="Elements in the schema must not contain text.",
        message="text {text} is not allowed in <{element}>",
        fix="remove the text; comments are allowed",
        bad=_domain(_cachetune("<cache id='0' level='3' type='both' size='3' unit='MiB'>3 MiB</cache>")),
        good=_GOOD,
    ),
    Rule(
        id="CT008",
        severity="error",
        summary="A document must not have a document type declaration (<!DOCTYPE>).",
        message="document type declaration (<!DOCTYPE>) is not allowed",
        fix="remove it; domain XML does not need one",
        bad="<!DOCTYPE domain [\n  <!ENTITY name SYSTEM '/etc/passwd'>\n]>\n<domain>\n  <name>&name;</name>\n</domain>",
        good="<domain>\n  <name>guest</name>\n</domain>",
    ),
    Rule(
        id="CT009",
        severity="error",
        summary="The document must satisfy the schema (in the engine's words where no other rule explains it).",
        message="schema validation failed: {reason}",
        fix="compare the document with `cachetune schema rng`",
        bad=_domain(_cachetune("<cache/>")),
        good=_GOOD,
        host="engine",
    ),
    Rule(
        id="CT010",
        severity="error",
        summary="A document must stay within fixed limits on its size and nesting.",
        message="document exceeds a limit: {what}",
        fix="check that this is the right file; domain XML stays far below these limits",
        bad="<domain><metadata>" + "<a>" * 300 + "</a>" * 300 + "</metadata></domain>",
        good="<domain><metadata>" + "<a>" * 3 + "</a>" * 3 + "</metadata></domain>",
    ),
    Rule(
        id="CT011",
        severity="error",
        summary="At most 1000 findings are reported for one document.",
        message="more than {limit} findings; the rest are not shown",
        fix="fix these first, then validate again",
        bad=_domain(_cachetune("<cach/>" * 1001)),
        good=_GOOD,
    ),
    Rule(
        id="CT012",
        severity="error",
        summary="The document must satisfy the schema of the installed libvirt (--libvirt-schema).",
        message="libvirt's schema refuses the document: {reason}",
        fix="`virsh define --validate` would refuse it too; the fault may be in a part that cachetune does not check",
        bad=_GOOD.replace("<cputune>", "<memroy>1048576</memroy><cputune>"),
        good=_GOOD,
        host="schema",
    ),
    Rule(
        id="CT013",
        severity="error",
        summary="A document must be a readable regular file of at most 16 MiB, or standard input.",
        message="{reason}",
        fix="pass an existing file that you may read",
        bad="/nonexistent/guest.xml",
        good=_GOOD,
        host="file",
    ),
    Rule(
        id="CT014",
        severity="error",
        summary="A document must not have the extensions of a vendor's libvirt.",
        message="{what} is an extension of {dialect}: {meaning}",
        fix="remove it from the file; for a running guest, use --guest NAME without a file",
        bad=_domain(_memorytune("<node id='0' bandwidth='50' min_bandwidth='10'/>")),
        good=_domain(_memorytune(_NODE)),
    ),
)

_MEANING = (
    Rule(
        id="CT101",
        severity="error",
        summary="A vCPU list must have ascending ranges, and numbers below 16384.",
        message="invalid vCPU list {value}: {reason}",
        fix="write ranges in ascending order, for example 0-3,^1",
        bad=_domain(_cachetune(_cache(), "3-0")),
        good=_domain(_cachetune(_cache(), "0-3")),
    ),
    Rule(
        id="CT102",
        severity="error",
        summary="Each set of vCPUs or threads, and the whole process, may have only one <cachetune>.",
        message="duplicate <cachetune> for {vcpus}; the first is {other}",
        fix="merge the <cache> and <monitor> elements of both into one",
        bad=_domain(_ONE + _cachetune(_cache(1))),
        good=_domain(_cachetune(_cache(0) + _cache(1))),
    ),
    Rule(
        id="CT103",
        severity="error",
        summary="Two elements must be for the same vCPUs or threads, or have none in common.",
        message="<{element}> for {vcpus} overlaps {other} for {other_vcpus}",
        fix="use the same list in both, or lists with nothing in common",
        bad=_domain(_ONE + _memorytune(_NODE, "1-2")),
        good=_domain(_ONE + _memorytune(_NODE, "0-1")),
    ),
    Rule(
        id="CT104",
        severity="error",
        summary="Elements for the whole process (without vcpus) and for a part of it cannot be combined.",
        message="<{element}> is for {vcpus}, but {other} is for {other_vcpus}",
        fix="set vcpus (or threads, in a tuning file) on all of them, or on none",
        bad=_domain(f"<cachetune>{_cache()}</cachetune>" + _memorytune(_NODE)),
        good=_domain(f"<cachetune>{_cache()}</cachetune><memorytune>{_NODE}</memorytune>"),
    ),
    Rule(
        id="CT105",
        severity="error",
        summary="A <cachetune> may name a cache once: as type 'both', or as 'code' and as 'data'.",
        message="L{level} cache {cache_id}: type '{type}' conflicts with type '{other_type}' in {other}",
        fix="keep one of them; only 'code' and 'data' can be combined",
        bad=_domain(_cachetune(_cache() + _cache(kind="code"))),
        good=_domain(_cachetune(_cache(kind="data") + _cache(kind="code"))),
    ),
    Rule(
        id="CT106",
        severity="error",
        summary="A size must be less than 2^64 bytes.",
        message="size {size} {unit} is 2^64 bytes or more",
        fix="check the unit; a size without one is in KiB",
        bad=_domain(_cachetune(_cache(size="size='16' unit='EiB'"))),
        good=_domain(_cachetune(_cache(size="size='16' unit='MiB'"))),
    ),
    Rule(
        id="CT107",
        severity="error",
        summary="A group may set each bandwidth of a node only once, or as a percentage and as a rate.",
        message="node {node_id}: bandwidth for {vcpus} is already set by {other}",
        fix="keep one of them; for hosts of both kinds, one with unit='%' and one with unit='MiB/s' or 'GB/s'",
        bad=_domain(_memorytune(_NODE + "<node id='0' bandwidth='60'/>")),
        good=_domain(_memorytune(_NODE + "<node id='1' bandwidth='60'/>")),
    ),
    Rule(
        id="CT108",
        severity="error",
        summary="A cache monitor must be on level 3, the only level with counters.",
        message="cannot monitor caches on level {level}, only on level 3",
        fix="set level='3'",
        bad=_domain(_cachetune(_monitor("0", " level='2'"))),
        good=_domain(_cachetune(_monitor("0"))),
    ),
    Rule(
        id="CT109",
        severity="error",
        summary="At least one vCPU of a monitor must exist.",
        message="monitor has no vCPUs: it names {value}, but the guest has {maximum}",
        fix="name vCPUs that the guest has, or remove the monitor",
        bad=_domain(_cachetune(_cache() + _monitor("8-9"))),
        good=_domain(_cachetune(_cache() + _monitor("1"))),
    ),
    Rule(
        id="CT110",
        severity="error",
        summary="The monitors of a group must all be for the whole process or all for parts of it.",
        message="monitor is for {vcpus}, but {other} is for {other_vcpus}",
        fix="set vcpus (or threads, in a tuning file) on all monitors of the group, or on none",
        bad=_domain("<energytune><monitor/><monitor vcpus='0'/></energytune>"),
        good=_domain("<energytune><monitor vcpus='1'/><monitor vcpus='0'/></energytune>"),
    ),
    Rule(
        id="CT111",
        severity="error",
        summary="The whole process may have only one monitor each for cache, memory and energy.",
        message="the whole process already has {article} {resource} monitor: {other}",
        fix="remove one of them",
        bad=_domain("<energytune><monitor/><monitor/></energytune>"),
        good=_domain("<energytune><monitor/></energytune>"),
    ),
    Rule(
        id="CT112",
        severity="error",
        summary="A monitor may name only vCPUs or threads of its group.",
        message="monitor names {vcpus}, but its <{element}> is for {group_vcpus}",
        fix="name only {group_vcpus}",
        bad=_domain(_cachetune(_cache() + _monitor("1-2"))),
        good=_domain(_cachetune(_cache() + _monitor("1"))),
    ),
    Rule(
        id="CT113",
        severity="error",
        summary="A set of vCPUs or threads may have only one monitor of each kind.",
        message="duplicate {resource} monitor for {vcpus}; the first is {other}",
        fix="remove one of them",
        bad=_domain(_cachetune(_cache() + _monitor("0") + _monitor("0"))),
        good=_domain(_cachetune(_cache() + _monitor("0") + _monitor("1"))),
    ),
    Rule(
        id="CT114",
        severity="error",
        summary="Monitors of a group must not overlap, except one that covers all vCPUs of a group with an allocation.",
        message="monitor for {vcpus} overlaps {other} for {other_vcpus}",
        fix="use lists with nothing in common{exception}",
        bad=_domain(_cachetune(_cache() + _monitor("0-1") + _monitor("1-2"), "0-2")),
        good=_domain(_cachetune(_cache() + _monitor("0-1") + _monitor("2"), "0-2")),
    ),
    Rule(
        id="CT115",
        severity="error",
        summary="<vcpu> must contain a whole number above zero, without trailing blanks.",
        message="<vcpu> is {value}, which is not a number of vCPUs",
        fix="write a whole number of 1 or more, for example <vcpu>4</vcpu>",
        bad=_domain(_ONE, "four"),
        good=_domain(_ONE, "4"),
    ),
    Rule(
        id="CT116",
        severity="error",
        summary="Only percentages, and rates with a unit, can have decimals.",
        message="{what} has decimals",
        fix="write {instead}",
        bad=_domain(_cachetune(_cache(size="size='2.25' unit='MiB'"))),
        good=_domain(_cachetune(_cache(size="size='2304' unit='KiB'"))),
    ),
    Rule(
        id="CT117",
        severity="error",
        summary="A percentage must be at most 100, and a bandwidth with a unit less than 2^32 of it.",
        message="{value} is more than {most}",
        fix="check the number and its unit",
        bad=_tuning(_cachetune(_cache(size="size='110' unit='%'"))),
        good=_tuning(_cachetune(_cache(size="size='10' unit='%'"))),
    ),
    Rule(
        id="CT150",
        severity="warning",
        summary="vCPUs beyond the number in <vcpu> are ignored.",
        message="ignoring {vcpus} in {value}: the guest has {maximum}",
        fix="end the list at vCPU {last}, or raise <vcpu>",
        bad=_domain(_cachetune(_cache(), "0-7")),
        good=_domain(_cachetune(_cache(), "0-3")),
    ),
    Rule(
        id="CT151",
        severity="warning",
        summary="An element has no effect if none of its vCPUs exist; its content is not checked.",
        message="<{element}> has no effect: it names {value}, but the guest has {maximum}",
        fix="name vCPUs that the guest has, or remove the element",
        bad=_domain(_ONE + _cachetune(_cache(), "8-9")),
        good=_domain(_ONE + _cachetune(_cache(), "2-3")),
    ),
    Rule(
        id="CT152",
        severity="warning",
        summary="An element without children has no effect.",
        message="<{element}> has no effect: it has no {children}",
        fix="add {children}, or remove the element",
        bad=_domain(_ONE + "<cachetune vcpus='2'/>"),
        good=_domain(_ONE + _cachetune(_monitor("2"), "2")),
    ),
    Rule(
        id="CT153",
        severity="warning",
        summary="A size should have a unit, because without one it is in KiB.",
        message="size {size} has no unit and is read as KiB: {meaning}",
        fix="set unit='KiB' if that is intended, or unit='B' for bytes",
        bad=_domain(_cachetune(_cache(size="size='3145728'"))),
        good=_domain(_cachetune(_cache(size="size='3145728' unit='B'"))),
    ),
    Rule(
        id="CT154",
        severity="warning",
        summary="A size of 0 requests a mask without ways, which most processors refuse.",
        message="size 0 requests no cache at all",
        fix="set a size, or remove the <cache> to use the default group's ways",
        bad=_domain(_cachetune(_cache(size="size='0' unit='MiB'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT155",
        severity="warning",
        summary="A vCPU list is read from left to right, so '^N' must come after the range that contains N.",
        message="'^{excluded}' in {value} excludes nothing: the list means {meaning}",
        fix="move '^{excluded}' to the end of the list",
        bad=_domain(_cachetune(_cache(), "^1,0-3")),
        good=_domain(_cachetune(_cache(), "0-3,^1")),
    ),
    Rule(
        id="CT156",
        severity="warning",
        summary="An unknown element in <cputune> is probably a typo if its name is close to a known one.",
        message="ignoring unknown element <{element}> in <cputune>; did you mean <{meant}>?",
        fix="rename it to <{meant}>",
        bad=_domain(f"<cachetunes vcpus='0-1'>{_cache()}</cachetunes>"),
        good=_domain(_ONE),
    ),
    Rule(
        id="CT157",
        severity="warning",
        summary="The extensions of a vendor's libvirt in the XML of a running guest are not planned.",
        message="ignoring {what}, an extension of {dialect}: {meaning}",
        fix="nothing to do: what libvirt has set for it in resctrl stays as it is",
        bad=_domain(_cachetune(_cache() + "<cache id='0' level='3' type='priority' size='2'/>")),
        good=_domain(_cachetune(_cache())),
        host="live",
    ),
    Rule(
        id="CT160",
        severity="warning",
        summary="In domain XML, libvirt refuses units of a cache that only cachetune has, decimals, and alternatives.",
        message="libvirt refuses {what}",
        fix="put it into a tuning file, or use a unit that libvirt has",
        bad=_domain(_cachetune(_cache(size="size='3' unit='ways'"))),
        good=_tuning(_cachetune(_cache(size="size='3' unit='ways'"))),
    ),
    Rule(
        id="CT161",
        severity="warning",
        summary="In domain XML, libvirt ignores unit and resource of a <node>: the number is MB in the host's unit.",
        message="libvirt ignores {what} on <node>",
        fix="put the <node> into a tuning file, or write the number in the host's own unit, for MB",
        bad=_domain(_memorytune("<node id='0' bandwidth='50' unit='%'/>")),
        good=_tuning(_memorytune("<node id='0' bandwidth='50' unit='%'/>")),
    ),
)

_EXCLUSIVE = "<cachetune vcpus='0-1' mode='exclusive'>{}</cachetune>"

_BEYOND_LIBVIRT = (
    Rule(
        id="CT170",
        severity="warning",
        summary="libvirt has no attribute mode on <cachetune>.",
        message="libvirt ignores mode on <cachetune> (`virsh define --validate` refuses it)",
        fix="keep it in a tuning file (the <cputune> element alone), or pass --exclusive",
        bad=_domain(_EXCLUSIVE.format(_cache())),
        good="<cputune>" + _EXCLUSIVE.format(_cache()) + "</cputune>",
    ),
    Rule(
        id="CT171",
        severity="error",
        summary="A <cachetune> in mode 'exclusive' must have a <cache>.",
        message="mode 'exclusive' without <cache>: there are no ways to be exclusive",
        fix="add a <cache>, or remove mode",
        bad="<cputune>" + _EXCLUSIVE.format(_monitor("0")) + "</cputune>",
        good="<cputune>" + _EXCLUSIVE.format(_cache() + _monitor("0")) + "</cputune>",
    ),
    Rule(
        id="CT165",
        severity="error",
        summary="The attribute threads is only for tuning files, not for domain XML.",
        message="threads={value} on <{element}> works only in a tuning file",
        fix="move the <cputune> to a tuning file, such as /etc/cachetune/guests.d/NAME.xml",
        bad=_domain(f"<cachetune threads='emulator'>{_cache()}</cachetune>"),
        good=_for("threads='emulator'"),
    ),
    Rule(
        id="CT166",
        severity="error",
        summary="An element is for vCPUs or for other threads, not for both.",
        message="<{element}> has both vcpus and threads",
        fix="use two elements, one with vcpus and one with threads",
        bad=_for("vcpus='0' threads='emulator'"),
        good=_for("threads='emulator'"),
    ),
    Rule(
        id="CT167",
        severity="error",
        summary="A list of iothreads must have ascending ranges, and numbers below 16384.",
        message="invalid threads {value}: {reason}",
        fix="write iothreads for all of them, or ranges in ascending order, for example iothreads:1-2",
        bad=_for("threads='iothreads:2-1'"),
        good=_for("threads='iothreads:1-2'"),
    ),
)

_LIBVIRT = (
    Rule(
        id="CT301",
        severity="error",
        summary="libvirt before 12.8 requires vcpus on <cachetune>, <memorytune>, <energytune> and their monitors.",
        message="libvirt {version} refuses <{element}> without vcpus",
        fix="set vcpus; libvirt 12.8 and later read a missing vcpus as {meaning}",
        bad=_domain(f"<cachetune>{_cache()}</cachetune>"),
        good=_GOOD,
        host="libvirt:12.4",
    ),
    Rule(
        id="CT302",
        severity="warning",
        summary="libvirt before 12.4 ignores <energytune>, or refuses it with --validate.",
        message="libvirt {version} ignores <energytune> (`virsh define --validate` refuses it)",
        fix="remove it, or use libvirt 12.4 or later",
        bad=_domain(_ONE + "<energytune vcpus='0-1'><monitor vcpus='0-1'/></energytune>"),
        good=_domain(_ONE + "<memorytune vcpus='0-1'><monitor vcpus='0-1'/></memorytune>"),
        host="libvirt:11.3",
    ),
    Rule(
        id="CT303",
        severity="error",
        summary="libvirt before 10.8 refuses a bandwidth above 100, whatever the unit on the host.",
        message="libvirt {version} refuses bandwidth {bandwidth}: the maximum is 100",
        fix="use a percentage, or libvirt 10.8 or later on hosts with another unit",
        bad=_domain(_memorytune("<node id='0' bandwidth='500'/>")),
        good=_domain(_memorytune(_NODE)),
        host="libvirt:9.0",
    ),
    Rule(
        id="CT304",
        severity="error",
        summary="libvirt before 10.8 supports no caches below level 3, so the guest would not start.",
        message="libvirt {version} cannot allocate L{level} caches",
        fix="allocate L3 instead, or use libvirt 10.8 or later",
        bad=_domain(_cachetune(_cache(level=2))),
        good=_GOOD,
        host="libvirt:9.0",
    ),
    Rule(
        id="CT305",
        severity="error",
        summary="Every version of libvirt requires level on the monitors of a <cachetune>.",
        message="libvirt {version} refuses a cache monitor without level",
        fix="add level='3'",
        bad=_domain(_cachetune("<monitor vcpus='0'/>")),
        good=_domain(_cachetune(_monitor("0"))),
        host="libvirt:12.8",
    ),
    Rule(
        id="CT306",
        severity="warning",
        summary="The schema of every libvirt version requires children in <cachetune>, <memorytune> and <energytune>.",
        message="`virsh define --validate` of libvirt {version} refuses <{element}> without children",
        fix="remove the empty element",
        bad=_domain("<cachetune vcpus='0-1'/>"),
        good=_GOOD,
        host="libvirt:12.8",
    ),
    Rule(
        id="CT307",
        severity="warning",
        summary="libvirt writes id on the <memorytune> of a running guest, but its own schema refuses it.",
        message="`virsh define --validate` of libvirt {version} refuses id on <memorytune>",
        fix="remove it; libvirt sets a new one at the next start (`virsh dumpxml --inactive` has none)",
        bad=_domain(f"<memorytune vcpus='0' id='vcpus_0'>{_NODE}</memorytune>"),
        good=_domain(_memorytune(_NODE, "0")),
        host="libvirt:12.8",
    ),
    Rule(
        id="CT308",
        severity="error",
        summary="libvirt's QEMU driver supports <cachetune>, <memorytune> and <energytune> only in KVM domains.",
        message="libvirt {version} refuses <{element}> in a domain of type {type}",
        fix="use <domain type='kvm'>",
        bad=_domain(_ONE, kind="qemu"),
        good=_GOOD,
        host="libvirt:12.8",
    ),
    Rule(
        id="CT309",
        severity="error",
        summary="No version of libvirt has the unit ways or % of a cache, decimals, or two bandwidths of a node.",
        message="libvirt {version} refuses {what}",
        fix="use a unit that libvirt has, whole numbers, and one <node> for each id",
        bad=_domain(_cachetune(_cache(size="size='30' unit='%'"))),
        good=_GOOD,
        host="libvirt:12.8",
    ),
    Rule(
        id="CT310",
        severity="warning",
        summary="No version of libvirt has unit or resource on <node>: the number is MB in the host's unit.",
        message="libvirt {version} ignores {what} on <node> (`virsh define --validate` refuses it)",
        fix="write the number in the host's own unit, for MB",
        bad=_domain(_memorytune("<node id='0' bandwidth='50' unit='%'/>")),
        good=_domain(_memorytune(_NODE)),
        host="libvirt:12.8",
    ),
    Rule(
        id="CT311",
        severity="error",
        summary="No version of libvirt knows the attribute threads of tuning files.",
        message="libvirt {version} does not know threads on <{element}>",
        fix="keep it in a tuning file, which only cachetune reads, and check that without --libvirt",
        bad=_for("threads='emulator'"),
        good=_for("vcpus='0-1'"),
        host="libvirt:12.8",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in (*_SCHEMA, *_MEANING, *_BEYOND_LIBVIRT, *_LIBVIRT)}
