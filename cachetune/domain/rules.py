"""The rules on a domain as data: CT0xx XML and schema, CT1xx what the values mean, CT3xx a libvirt version's view.

Each has two samples, run by a test: ``bad`` breaks the rule, ``good`` shows it mended. ``host`` says by whom they are
judged where that is not the domain alone: ``libvirt:9.0`` is --libvirt 9.0, ``schema`` an installed libvirt's schema.
CT1xx follow libvirt 12.8; CT100 to CT149 are errors, CT150 to CT199 warnings where libvirt says nothing.
"""

from cachetune.findings import Rule


def _domain(cputune: str, vcpus: str = "4", kind: str = "kvm") -> str:
    return f"<domain type='{kind}'><name>guest</name><vcpu>{vcpus}</vcpu><cputune>{cputune}</cputune></domain>"


def _cachetune(children: str, vcpus: str = "0-1") -> str:
    return f"<cachetune vcpus='{vcpus}'>{children}</cachetune>"


def _cache(cache_id: int = 0, kind: str = "both", size: str = "size='3' unit='MiB'", level: int = 3) -> str:
    return f"<cache id='{cache_id}' level='{level}' type='{kind}' {size}/>"


def _monitor(vcpus: str, level: str = " level='3'") -> str:
    return f"<monitor{level} vcpus='{vcpus}'/>"


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
        fix="mend the XML first; nothing else was checked",
        bad="<domain><cputune></domain>",
        good=_GOOD,
    ),
    Rule(
        id="CT002",
        severity="error",
        summary="The root element must be <domain>, or <cputune> in a tuning file, in no namespace.",
        message="the root element is <{element}>{where}, expected <domain> or <cputune>",
        fix="pass the XML of a domain, as `virsh dumpxml` prints it, or the <cputune> part of one",
        bad="<network><name>default</name></network>",
        good=_GOOD,
    ),
    Rule(
        id="CT003",
        severity="error",
        summary="The elements of cachetune have no other attributes than the schema names.",
        message="attribute '{attribute}' is not allowed on <{element}>{suggestion}",
        fix="<{element}> takes {allowed}",
        bad=_domain(_cachetune("<cache id='0' levl='3' type='both' size='3' unit='MiB'/>")),
        good=_GOOD,
    ),
    Rule(
        id="CT004",
        severity="error",
        summary="Attributes that the schema requires must be there.",
        message="<{element}> has no attribute '{attribute}'",
        fix="add {attribute}='…': {expected}",
        bad=_domain(_cachetune("<cache id='0' type='both' size='3' unit='MiB'/>")),
        good=_GOOD,
    ),
    Rule(
        id="CT005",
        severity="error",
        summary="The value of an attribute must have the form that the schema gives.",
        message="{value} is not a valid {attribute} of <{element}>{suggestion}",
        fix="expected {expected}",
        bad=_domain(_cachetune(_cache(size="size='3 MiB'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT006",
        severity="error",
        summary="The elements of cachetune have no other children than the schema names.",
        message="<{child}> is not allowed in <{element}>{suggestion}",
        fix="<{element}> takes {allowed}",
        bad=_domain(_cachetune(_cache() + "<moniter vcpus='0'/>")),
        good=_domain(_cachetune(_cache() + _monitor("0"))),
    ),
    Rule(
        id="CT007",
        severity="error",
        summary="The elements of cachetune hold no text.",
        message="text {text} is not allowed in <{element}>",
        fix="remove it; comments are fine",
        bad=_domain(_cachetune(_cache() + "half of it")),
        good=_domain(_cachetune(_cache() + "<!-- half of it -->")),
    ),
    Rule(
        id="CT008",
        severity="error",
        summary="A document type declaration is refused, and with it every entity it could define.",
        message="a document type declaration (<!DOCTYPE>) is refused",
        fix="remove it; domain XML needs none, and entities are never expanded",
        bad="<!DOCTYPE domain [<!ENTITY a SYSTEM 'file:///etc/passwd'>]><domain>&a;</domain>",
        good=_GOOD,
    ),
    Rule(
        id="CT009",
        severity="error",
        summary="The document must satisfy the schema (the engine's own words, where no finer rule explains it).",
        message="the schema is not satisfied: {reason}",
        fix="compare with `cachetune schema rng`",
        bad=_domain(_cachetune("<cache/>")),
        good=_GOOD,
        host="engine",
    ),
    Rule(
        id="CT010",
        severity="error",
        summary="The document must stay within the limits that keep a hostile one from harm.",
        message="beyond the limits: {what}",
        fix="no domain XML comes near this; is it the right file?",
        bad="<domain>" + "<a>" * 300 + "</a>" * 300 + "</domain>",
        good=_GOOD,
    ),
    Rule(
        id="CT011",
        severity="error",
        summary="The findings of one document end after a thousand.",
        message="more than {limit} findings, the rest is not shown",
        fix="mend these first, then check again",
        bad=_domain(_cachetune("<cach/>" * 1001)),
        good=_GOOD,
    ),
    Rule(
        id="CT012",
        severity="error",
        summary="The document must satisfy the schema of the installed libvirt (--libvirt-schema).",
        message="libvirt's own schema is not satisfied: {reason}",
        fix="`virsh define --validate` would refuse it; the fault may be outside of what cachetune knows",
        bad=_domain("<cachetune vcpus='0'/>"),
        good=_GOOD,
        host="schema",
    ),
)

_MEANING = (
    Rule(
        id="CT101",
        severity="error",
        summary="A list of vCPUs must not run backwards, and its numbers must be below 16384.",
        message="invalid vCPU list {value}: {reason}",
        fix="write ranges upwards, for instance 0-3,^1",
        bad=_domain(_cachetune(_cache(), "3-0")),
        good=_domain(_cachetune(_cache(), "0-3")),
    ),
    Rule(
        id="CT102",
        severity="error",
        summary="Two <cachetune> must not be for the same vCPUs, nor both for the whole process.",
        message="a second <cachetune> for {vcpus}; the first is {other}",
        fix="put all <cache> and <monitor> into one of them",
        bad=_domain(_ONE + _cachetune(_cache(1))),
        good=_domain(_cachetune(_cache(0) + _cache(1))),
    ),
    Rule(
        id="CT103",
        severity="error",
        summary="The vCPUs of two elements must be the same or have none in common.",
        message="<{element}> for {vcpus} overlaps with {other} for {other_vcpus}",
        fix="use exactly the same list in both, or lists with no vCPU in common",
        bad=_domain(_ONE + _memorytune(_NODE, "1-2")),
        good=_domain(_ONE + _memorytune(_NODE, "0-1")),
    ),
    Rule(
        id="CT104",
        severity="error",
        summary="Elements for the whole process (without vcpus) and for single vCPUs exclude each other.",
        message="<{element}> is for {vcpus}, but {other} is for {other_vcpus}",
        fix="give all of them a vcpus attribute, or none",
        bad=_domain(f"<cachetune>{_cache()}</cachetune>" + _memorytune(_NODE)),
        good=_domain(f"<cachetune>{_cache()}</cachetune><memorytune>{_NODE}</memorytune>"),
    ),
    Rule(
        id="CT105",
        severity="error",
        summary="A cache may be given once per <cachetune>: as both, or as code and as data.",
        message="level {level} cache {cache_id} is already given as '{other_type}' in {other}, which excludes '{type}'",
        fix="keep one of them; only code and data can stand side by side",
        bad=_domain(_cachetune(_cache() + _cache(kind="code"))),
        good=_domain(_cachetune(_cache(kind="data") + _cache(kind="code"))),
    ),
    Rule(
        id="CT106",
        severity="error",
        summary="A size must be below 2^64 bytes.",
        message="size {size} {unit} is 2^64 bytes or more",
        fix="check the unit: without one, the size is in KiB",
        bad=_domain(_cachetune(_cache(size="size='16' unit='EiB'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT107",
        severity="error",
        summary="The bandwidth of a node may be given once per group of vCPUs.",
        message="the bandwidth of node {node_id} is already given for {vcpus} in {other}",
        fix="keep one of them",
        bad=_domain(_memorytune(_NODE + "<node id='0' bandwidth='60'/>")),
        good=_domain(_memorytune(_NODE + "<node id='1' bandwidth='60'/>")),
    ),
    Rule(
        id="CT108",
        severity="error",
        summary="A cache monitor watches level 3; the kernel counts on no other.",
        message="a cache monitor on level {level} is not possible, only on level 3",
        fix="write level='3'",
        bad=_domain(_cachetune(_monitor("0", " level='2'"))),
        good=_domain(_cachetune(_monitor("0"))),
    ),
    Rule(
        id="CT109",
        severity="error",
        summary="A monitor must be left with a vCPU after those beyond <vcpu> are dropped.",
        message="no vCPU is left for this monitor: it names {value}, and the guest has {maximum}",
        fix="name vCPUs that the guest has, or remove the monitor",
        bad=_domain(_cachetune(_cache() + _monitor("8-9"))),
        good=_domain(_cachetune(_cache() + _monitor("1"))),
    ),
    Rule(
        id="CT110",
        severity="error",
        summary="Monitors of the whole process and of single vCPUs exclude each other within a group.",
        message="this monitor is for {vcpus}, {other} is for {other_vcpus}",
        fix="give all monitors of the group a vcpus attribute, or none",
        bad=_domain("<energytune><monitor/><monitor vcpus='0'/></energytune>"),
        good=_domain("<energytune><monitor vcpus='1'/><monitor vcpus='0'/></energytune>"),
    ),
    Rule(
        id="CT111",
        severity="error",
        summary="The whole process has at most one monitor for each of cache, memory and energy.",
        message="the whole process already has {article} {resource} monitor: {other}",
        fix="remove one of them",
        bad=_domain("<energytune><monitor/><monitor/></energytune>"),
        good=_domain("<energytune><monitor/></energytune><memorytune><monitor/></memorytune>"),
    ),
    Rule(
        id="CT112",
        severity="error",
        summary="A monitor watches vCPUs of its own group only.",
        message="this monitor names {vcpus}, outside of {group_vcpus} of its <{element}>",
        fix="name only {group_vcpus}",
        bad=_domain(_cachetune(_cache() + _monitor("1-2"))),
        good=_domain(_cachetune(_cache() + _monitor("1"))),
    ),
    Rule(
        id="CT113",
        severity="error",
        summary="Two monitors of the same kind must not watch the same vCPUs.",
        message="a second {resource} monitor for {vcpus}; the first is {other}",
        fix="remove one of them",
        bad=_domain(_cachetune(_cache() + _monitor("0") + _monitor("0"))),
        good=_domain(_cachetune(_cache() + _monitor("0") + _monitor("1"))),
    ),
    Rule(
        id="CT114",
        severity="error",
        summary="Monitors of a group must not overlap, save one that covers all vCPUs of a group with an allocation.",
        message="this monitor for {vcpus} overlaps with {other} for {other_vcpus}",
        fix="use lists with no vCPU in common{exception}",
        bad=_domain(_cachetune(_cache() + _monitor("0-1") + _monitor("1-2"), "0-2")),
        good=_domain(_cachetune(_cache() + _monitor("0-1") + _monitor("2") + _monitor("0-2"), "0-2")),
    ),
    Rule(
        id="CT115",
        severity="error",
        summary="<vcpu> must hold a whole number above zero, without blanks after it.",
        message="{value} in <vcpu> is not a number of vCPUs",
        fix="write a whole number from 1 on, for instance <vcpu>4</vcpu>",
        bad=_domain(_ONE, "four"),
        good=_domain(_ONE, "4"),
    ),
    Rule(
        id="CT150",
        severity="warning",
        summary="vCPUs beyond the maximum in <vcpu> are dropped without notice.",
        message="dropped from {value}: {vcpus}, because the guest has {maximum}",
        fix="end the list at vCPU {last}, or raise <vcpu>",
        bad=_domain(_cachetune(_cache(), "0-7")),
        good=_domain(_cachetune(_cache(), "0-3")),
    ),
    Rule(
        id="CT151",
        severity="warning",
        summary="An element none of whose vCPUs exist has no effect; its content is not even looked at.",
        message="<{element}> has no effect: no vCPU is left of {value}, and the guest has {maximum}",
        fix="name vCPUs that the guest has, or remove the element",
        bad=_domain(_ONE + _cachetune(_cache(), "8-9")),
        good=_domain(_ONE + _cachetune(_cache(), "2-3")),
    ),
    Rule(
        id="CT152",
        severity="warning",
        summary="An element without children has no effect.",
        message="<{element}> has no effect: it has no {children}",
        fix="add what it is for, or remove it",
        bad=_domain(_ONE + "<cachetune vcpus='2'/>"),
        good=_GOOD,
    ),
    Rule(
        id="CT153",
        severity="warning",
        summary="A size without a unit is read as KiB (libvirt's documentation says bytes).",
        message="size {size} has no unit and is read as KiB: {meaning}",
        fix="say unit='KiB' if that is meant, or unit='B' for bytes",
        bad=_domain(_cachetune(_cache(size="size='3145728'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT154",
        severity="warning",
        summary="A size of 0 asks for a cache without ways, which most processors refuse.",
        message="size 0 asks for no cache at all",
        fix="give a size, or remove the <cache>: a cache that is not named keeps the default group's ways",
        bad=_domain(_cachetune(_cache(size="size='0' unit='MiB'"))),
        good=_GOOD,
    ),
    Rule(
        id="CT155",
        severity="warning",
        summary="A vCPU list is read from left to right, so '^N' before the range that holds N excludes nothing.",
        message="'^{excluded}' in {value} excludes nothing: the list means {meaning}",
        fix="put '^{excluded}' at the end of the list",
        bad=_domain(_cachetune(_cache(), "^1,0-3")),
        good=_domain(_cachetune(_cache(), "0-3,^1")),
    ),
    Rule(
        id="CT156",
        severity="warning",
        summary="An unknown element in <cputune> that is called nearly like one of ours is probably a slip.",
        message="<{element}> in <cputune> is not known and not looked at; did you mean <{meant}>?",
        fix="write <{meant}>",
        bad=_domain("<cachetunes vcpus='0'/>"),
        good=_domain(_ONE),
    ),
)

_LIBVIRT = (
    Rule(
        id="CT301",
        severity="error",
        summary="libvirt before 12.8 requires vcpus on cachetune, memorytune, energytune and their monitors.",
        message="libvirt {version} refuses <{element}> without vcpus",
        fix="name the vCPUs; libvirt 12.8 reads a missing vcpus as {meaning}",
        bad=_domain(f"<cachetune>{_cache()}</cachetune>"),
        good=_GOOD,
        host="libvirt:12.4",
    ),
    Rule(
        id="CT302",
        severity="warning",
        summary="libvirt before 12.4 does not know <energytune>: it is dropped, and refused with --validate.",
        message="libvirt {version} ignores <energytune> (`virsh define --validate` refuses it)",
        fix="remove it, or use libvirt 12.4 or later",
        bad=_domain("<energytune vcpus='0'><monitor vcpus='0'/></energytune>"),
        good=_GOOD,
        host="libvirt:11.3",
    ),
    Rule(
        id="CT303",
        severity="error",
        summary="libvirt before 10.8 refuses a bandwidth above 100, whatever its unit on the host.",
        message="libvirt {version} refuses a bandwidth above 100: {bandwidth}",
        fix="give a percentage, or use libvirt 10.8 or later on hosts that count in other units",
        bad=_domain(_memorytune("<node id='0' bandwidth='2048'/>")),
        good=_domain(_memorytune(_NODE)),
        host="libvirt:9.0",
    ),
    Rule(
        id="CT304",
        severity="error",
        summary="libvirt before 10.8 sees no caches below level 3, so the guest would not start.",
        message="libvirt {version} cannot allocate on level {level} caches",
        fix="allocate level 3, or use libvirt 10.8 or later",
        bad=_domain(_cachetune(_cache(level=2))),
        good=_GOOD,
        host="libvirt:9.0",
    ),
    Rule(
        id="CT305",
        severity="error",
        summary="Every libvirt requires level on the monitors of a cachetune.",
        message="libvirt {version} refuses a cache monitor without level",
        fix="add level='3'",
        bad=_domain(_cachetune("<monitor vcpus='0'/>")),
        good=_domain(_cachetune(_monitor("0"))),
        host="libvirt:12.8",
    ),
    Rule(
        id="CT306",
        severity="warning",
        summary="The schema of every libvirt wants children in cachetune, memorytune and energytune.",
        message="`virsh define --validate` of libvirt {version} refuses <{element}> without children",
        fix="remove the empty element",
        bad=_domain("<cachetune vcpus='0'/>"),
        good=_GOOD,
        host="libvirt:12.8",
    ),
    Rule(
        id="CT307",
        severity="warning",
        summary="libvirt prints id on the memorytune of a running guest, and its own schema refuses it there.",
        message="`virsh define --validate` of libvirt {version} refuses id on <memorytune>",
        fix="remove it; libvirt makes a new one at the next start (`virsh dumpxml --inactive` shows none)",
        bad=_domain(f"<memorytune vcpus='0' id='vcpus_0'>{_NODE}</memorytune>"),
        good=_domain(_memorytune(_NODE, "0")),
        host="libvirt:12.8",
    ),
    Rule(
        id="CT308",
        severity="error",
        summary="libvirt's QEMU driver supports cachetune, memorytune and energytune for KVM domains only.",
        message="libvirt {version} refuses <{element}> in a domain of type {type}",
        fix="use <domain type='kvm'>",
        bad=_domain(_ONE, kind="qemu"),
        good=_GOOD,
        host="libvirt:12.8",
    ),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in (*_SCHEMA, *_MEANING, *_LIBVIRT)}
