"""Read the groups of vCPUs or threads from the element tree, in libvirt's order and with libvirt's verdicts.

All problems are reported. The order decides which element is the first and which the duplicate: ``<vcpu>``, then every
cachetune, memorytune and energytune; within each, vcpus or threads, then caches or nodes, then monitors. The tree has
been checked against the schema, and the values of elements that violate it (``faulty``) are not used.
Source: libvirt 12.8 domain_conf.c as observed.

One problem must not cause another: a group that conflicts with an earlier one is still checked but not kept, and an
invalid list is compared with nothing.
"""

import re
from collections.abc import Collection

from lxml import etree

from cachetune.domain.problems import Problems, quoted
from cachetune.domain.threads import named, parse_threads, threads_in
from cachetune.domain.xml.schema import cputunes
from cachetune.idset import MAX_VCPUS, format_mask, parse_vcpu_mask
from cachetune.units import HUNDRED, MAX_RATE, OWN_SIZE_UNITS, DecimalsError, Rate, Size

UNKNOWN = -1
_SHORT = 40
_MOST_VCPUS = (1 << 32) - 1
_OTHERS_IN_CPUTUNE = frozenset(
    (
        *("shares", "period", "quota", "global_period", "global_quota", "emulator_period", "emulator_quota"),
        *("iothread_period", "iothread_quota", "vcpupin", "emulatorpin", "iothreadpin"),
        *("vcpusched", "iothreadsched", "emulatorsched"),
    )
)
_RESOURCES = {"cachetune": "cache", "memorytune": "memory", "energytune": "energy"}


class Cache:
    """One <cache>."""

    __slots__ = ("cache_id", "element", "level", "size", "type")

    def __init__(self, element: etree._Element) -> None:
        get = element.get
        self.element = element
        self.cache_id = number(get("id", ""))
        self.level = number(get("level", ""))
        self.type = get("type", "")
        self.size = Size(0)


class Monitor:
    """One <monitor>. ``vcpus`` is a mask as in threads.py, None for the whole process.

    ``shares_id``: it has its group's id.
    """

    __slots__ = ("element", "resource", "shares_id", "vcpus")

    def __init__(self, element: etree._Element, resource: str, vcpus: int | None, *, shares_id: bool) -> None:
        self.element, self.resource, self.vcpus, self.shares_id = element, resource, vcpus, shares_id


class Group:
    """Everything requested for one set of vCPUs or threads.

    ``vcpus`` is a mask as in threads.py, None for the whole process, or UNKNOWN.
    """

    __slots__ = ("caches", "element", "exclusive", "monitors", "nodes", "vcpus", "watched")

    def __init__(self, element: etree._Element, vcpus: int | None) -> None:
        self.element, self.vcpus = element, vcpus
        self.caches: dict[tuple[int, int], list[Cache]] = {}
        self.nodes: dict[tuple[str, int], list[tuple[Rate, etree._Element]]] = {}
        self.monitors: list[Monitor] = []
        self.watched = 0
        self.exclusive = False


class ParsedGroups:
    """The requests of one domain. ``maximum`` is the vCPU count, ``skipped`` are elements none of whose vCPUs exist.

    ``unknown`` are the children of <cputune> that no version of libvirt supports, ``modes`` the elements with a mode,
    and ``own_units`` those with a unit, or the resource of a node, that only cachetune has. Among the latter are
    ``second_nodes``, each <node> after the first with its id.
    """

    __slots__ = ("groups", "maximum", "modes", "own_units", "second_nodes", "skipped", "tunes", "unknown")

    def __init__(self) -> None:
        self.groups: dict[int | None, Group] = {}
        self.maximum = 1
        self.tunes: list[etree._Element] = []
        self.skipped: set[etree._Element] = set()
        self.unknown: list[etree._Element] = []
        self.modes: list[etree._Element] = []
        self.own_units: list[etree._Element] = []
        self.second_nodes: set[etree._Element] = set()


def read_groups(
    root: etree._Element, problems: Problems, faulty: Collection[etree._Element] = (), vcpus: int | None = None
) -> ParsedGroups:
    """Read the groups of a <domain>, or of a <cputune> alone for a guest with ``vcpus`` vCPUs (None: any number).

    Problems are added to ``problems``.
    """
    parsed = ParsedGroups()
    by_kind: dict[str, list[etree._Element]] = {"cachetune": [], "memorytune": [], "energytune": []}
    for cputune in cputunes(root):
        for element in cputune:
            tag = str(element.tag)
            if tag in by_kind:
                by_kind[tag].append(element)
            elif tag not in _OTHERS_IN_CPUTUNE:
                parsed.unknown.append(element)
    for elements in by_kind.values():
        parsed.tunes += elements
    reader = _Reader(parsed, problems, faulty, tuning_file=root.tag == "cputune")
    if root.tag == "domain":
        reader.read_maximum(root)
    else:
        reader.set_maximum(vcpus or MAX_VCPUS)
    for element in parsed.tunes:
        reader.read_group(element)
    return parsed


def naming(element: etree._Element) -> str:
    """Return the attribute that says whom an element is for."""
    return "vcpus" if element.get("threads") is None else "threads"


def number(digits: str) -> int:
    """Convert a whole number with any number of leading zeros (int() alone refuses more than 4300 digits)."""
    return int(digits) if len(digits) < _SHORT else int(digits.lstrip("0") or "0")


class _Reader:
    def __init__(
        self, parsed: ParsedGroups, problems: Problems, faulty: Collection[etree._Element], *, tuning_file: bool
    ) -> None:
        self._parsed, self._problems, self._faulty, self._tuning_file = parsed, problems, faulty, tuning_file
        self._taken = 0
        self._limit = 1
        self._maximum_shown = "1 vCPU (no <vcpu>)"

    def read_maximum(self, root: etree._Element) -> None:
        """Read the maximum number of vCPUs: the text of <vcpu>, regardless of ``current``; 1 without <vcpu>."""
        vcpu = next(root.iterchildren("vcpu"), None)
        if vcpu is None:
            return
        text = vcpu.text if len(vcpu) == 0 else "".join(str(part) for part in vcpu.itertext())
        digits = (text or "").lstrip(" \t\r\n").removeprefix("+")
        plain = digits.isascii() and digits.isdigit() and len(digits.lstrip("0")) <= len(str(_MOST_VCPUS))
        maximum = number(digits) if plain else 0
        if not 0 < maximum <= _MOST_VCPUS:
            if self._parsed.tunes:
                self._problems.add("CT115", vcpu, "#text", value=quoted(text or ""))
            maximum = MAX_VCPUS  # an unknown maximum cuts nothing off
        self.set_maximum(maximum)

    def set_maximum(self, maximum: int) -> None:
        """Set the maximum number of vCPUs of the guest."""
        self._parsed.maximum = maximum
        self._limit = (1 << min(maximum, MAX_VCPUS)) - 1
        self._maximum_shown = "1 vCPU" if maximum == 1 else f"{maximum} vCPUs"

    def read_group(self, element: etree._Element) -> None:
        """Read one cachetune, memorytune or energytune."""
        vcpus = self._outer_vcpus(element)
        if vcpus == 0:
            self._parsed.skipped.add(element)
            return
        group = self._group_for(element, vcpus)
        tag, monitors = str(element.tag), []
        if (mode := element.get("mode")) is not None and element not in self._faulty:
            self._read_mode(element, mode, group)
        for child in element:
            kind = child.tag
            if kind == "monitor":
                monitors.append(child)
            elif kind == "cache" and tag == "cachetune":
                self._read_cache(child, group)
            elif kind == "node" and tag == "memorytune":
                self._read_node(child, group)
        for monitor in monitors:
            self._read_monitor(monitor, group, _RESOURCES[tag])
        if len(element) == 0 and element not in self._faulty:
            children = {"cachetune": "<cache> or <monitor>", "memorytune": "<node> or <monitor>"}
            self._problems.add("CT152", element, element=tag, children=children.get(tag, "<monitor>"))

    def _read_mode(self, element: etree._Element, mode: str, group: Group) -> None:
        group.exclusive = mode == "exclusive"
        if group.exclusive and len(element) and element.find("cache") is None:
            self._problems.add("CT171", element, "mode")
        self._parsed.modes.append(element)

    def _outer_vcpus(self, element: etree._Element) -> int | None:
        if element in self._faulty:
            return UNKNOWN
        vcpus = self._named_by(element, None)
        if vcpus == 0:
            value = quoted(element.get("vcpus", ""))
            self._problems.add("CT151", element, "vcpus", element=element.tag, value=value, maximum=self._maximum_shown)
        return vcpus

    def _named_by(self, element: etree._Element, otherwise: int | None) -> int | None:
        """Return whom an element is for: its vCPUs, its threads, or else what it inherits."""
        vcpus, threads = element.get("vcpus"), element.get("threads")
        if threads is None:
            return otherwise if vcpus is None else self._parse(element, vcpus)
        if not self._tuning_file:
            self._problems.add("CT165", element, "threads", element=element.tag, value=quoted(threads))
            return UNKNOWN
        if vcpus is not None:
            self._problems.add("CT166", element, "threads", element=element.tag)
            return UNKNOWN
        try:
            return parse_threads(threads).mask
        except ValueError as error:
            self._problems.add("CT167", element, "threads", value=quoted(threads), reason=error)
            return UNKNOWN

    def _parse(self, element: etree._Element, text: str) -> int:
        """Return the vCPUs of a list that exist, or UNKNOWN; warn about those that do not."""
        try:
            listed = parse_vcpu_mask(text)
        except ValueError as error:
            self._problems.add("CT101", element, "vcpus", value=quoted(text), reason=error)
            return UNKNOWN
        vcpus = listed & self._limit
        if "^" in text:
            self._warn_of_exclusions(element, text, listed)
        if vcpus and vcpus != listed:
            self._problems.add(
                "CT150",
                element,
                "vcpus",
                vcpus=named(listed ^ vcpus),
                value=quoted(text),
                maximum=self._maximum_shown,
                last=self._parsed.maximum - 1,
            )
        return vcpus

    def _warn_of_exclusions(self, element: etree._Element, text: str, listed: int) -> None:
        excluded = 0
        for found in re.finditer(r"\^([0-9]+)", text):
            excluded |= 1 << number(found[1])
        if excluded & listed:
            self._problems.add(
                "CT155",
                element,
                "vcpus",
                excluded=format_mask(excluded & listed).partition(",")[0].partition("-")[0],
                value=quoted(text),
                meaning=named(listed),
            )

    def _group_for(self, element: etree._Element, vcpus: int | None) -> Group:
        """Return the element's group: an existing one, or a new one, which is kept unless it conflicts."""
        groups, tag = self._parsed.groups, str(element.tag)
        group = Group(element, vcpus)
        if vcpus == UNKNOWN:
            return group
        same = groups.get(vcpus)
        if same is not None:
            if tag != "cachetune":
                return same
            self._problems.add("CT102", element, naming(element), vcpus=named(vcpus), other=same.element)
            return group
        conflict = self._conflict(vcpus)
        if conflict is not None:
            mixed = vcpus is None or conflict.vcpus is None
            self._problems.add(
                "CT104" if mixed else "CT103",
                element,
                naming(element),
                element=tag,
                vcpus=named(vcpus),
                other=conflict.element,
                other_vcpus=named(conflict.vcpus),
            )
        elif len(element):
            groups[vcpus] = group
            self._taken |= vcpus or 0
        return group

    def _conflict(self, vcpus: int | None) -> Group | None:
        groups = self._parsed.groups
        if vcpus is None or None in groups:
            return next(iter(groups.values()), None)
        if vcpus & self._taken:
            return next(group for group in groups.values() if group.vcpus and group.vcpus & vcpus)
        return None

    def _read_cache(self, element: etree._Element, group: Group) -> None:
        if element in self._faulty:
            return
        cache = Cache(element)
        cache.size = self._size(element)
        others = group.caches.setdefault((cache.level, cache.cache_id), [])
        for other in others:
            if cache.type == other.type or "both" in (cache.type, other.type):
                self._problems.add(
                    "CT105",
                    element,
                    None,
                    level=cache.level,
                    cache_id=cache.cache_id,
                    type=cache.type,
                    other_type=other.type,
                    other=other.element,
                )
                return
        others.append(cache)

    def _size(self, element: etree._Element) -> Size:
        text, unit = element.get("size", ""), element.get("unit")
        if unit in OWN_SIZE_UNITS:
            self._parsed.own_units.append(element)
        try:
            size = Size.of(text, unit)
        except OverflowError:
            if unit == "%":
                self._problems.add("CT117", element, "size", value=quoted(f"{text}%"), most=f"{HUNDRED}%")
            else:
                self._problems.add("CT106", element, "size", size=quoted(text), unit=unit or "KiB")
            return Size(0)
        except DecimalsError as error:
            self._problems.add("CT116", element, "size", what=error.what, instead=error.instead)
            return Size(0)
        if not size.number:
            self._problems.add("CT154", element, "size")
        elif unit is None:
            self._problems.add("CT153", element, "size", size=quoted(text), meaning=size)
        return size

    def _read_node(self, element: etree._Element, group: Group) -> None:
        if element in self._faulty:
            return
        node_id, resource = number(element.get("id", "")), element.get("resource", "MB")
        rate, others = self._rate(element), group.nodes.setdefault((resource, node_id), [])
        same = (e for r, e in others if rate.is_share == r.is_share or "" in (rate.unit, r.unit))
        if (other := next(same, None)) is not None:
            vcpus = "this element" if group.vcpus == UNKNOWN else named(group.vcpus)
            self._problems.add("CT107", element, "id", node_id=node_id, vcpus=vcpus, other=other)
        elif others or any(of != resource and each == node_id for of, each in group.nodes):
            self._parsed.second_nodes.add(element)
        if element in self._parsed.second_nodes or element.get("unit") or element.get("resource"):
            self._parsed.own_units.append(element)
        if other is None:
            others.append((rate, element))

    def _rate(self, element: etree._Element) -> Rate:
        text, unit = element.get("bandwidth", ""), element.get("unit")
        try:
            return Rate.of(text, unit)
        except OverflowError:
            shown, most = (f"{text}%", f"{HUNDRED}%") if unit == "%" else (f"{text} {unit}", f"{MAX_RATE} {unit}")
            self._problems.add("CT117", element, "bandwidth", value=quoted(shown), most=most)
        except DecimalsError as error:
            instead = f"{error.instead}, or set a unit"
            self._problems.add("CT116", element, "bandwidth", what=error.what, instead=instead)
        return Rate(0)

    def _read_monitor(self, element: etree._Element, group: Group, resource: str) -> None:
        if element in self._faulty:
            return
        level = element.get("level")
        if level is not None and number(level) != 3:
            self._problems.add("CT108", element, "level", level=number(level))
        vcpus = self._named_by(element, group.vcpus)
        if vcpus == UNKNOWN:
            return
        if vcpus == 0:
            value = quoted(element.get("vcpus", ""))
            self._problems.add("CT109", element, "vcpus", value=value, maximum=self._maximum_shown)
        elif self._fits(element, vcpus, group, resource):
            covers = vcpus == group.vcpus and bool(group.caches or group.nodes)
            group.monitors.append(Monitor(element, resource, vcpus, shares_id=covers))
            group.watched |= vcpus or 0

    def _fits(self, element: etree._Element, vcpus: int | None, group: Group, resource: str) -> bool:
        """Check a monitor against its group and the monitors before it, in libvirt's order."""
        add, monitors = self._problems.add, group.monitors
        if monitors and (monitors[0].vcpus is None) != (vcpus is None):
            other = monitors[0]
            add(
                "CT110",
                element,
                naming(element),
                vcpus=named(vcpus),
                other=other.element,
                other_vcpus=named(other.vcpus),
            )
            return False
        if vcpus is None:
            for other in monitors:
                if other.resource == resource:
                    article = "an" if resource == "energy" else "a"
                    add("CT111", element, None, article=article, resource=resource, other=other.element)
                    return False
            return True
        known = group.vcpus is not None and group.vcpus != UNKNOWN
        if known and (outside := vcpus & ~(group.vcpus or 0)):
            parent = element.getparent()
            tag = "" if parent is None else parent.tag
            whom = named(vcpus if threads_in(vcpus) else outside)
            add("CT112", element, naming(element), vcpus=whom, group_vcpus=named(group.vcpus), element=tag)
            return False
        return self._apart(element, vcpus, group, resource)

    def _apart(self, element: etree._Element, vcpus: int, group: Group, resource: str) -> bool:
        if not group.watched & vcpus:
            return True
        empty = not group.caches and not group.nodes
        overlap = None
        for other in group.monitors:
            if other.vcpus == vcpus:
                if other.resource == resource:
                    self._problems.add(
                        "CT113", element, naming(element), resource=resource, vcpus=named(vcpus), other=other.element
                    )
                    return False
            elif overlap is None and (other.vcpus or 0) & vcpus and (empty or group.vcpus not in (vcpus, other.vcpus)):
                overlap = other
        if overlap is None or group.vcpus == UNKNOWN:
            return True
        exception = (
            "; a monitor of all vCPUs may overlap others only if the group has a <cache> or <node>"
            if empty
            else "; only a monitor of all vCPUs of the group may overlap others"
        )
        self._problems.add(
            "CT114",
            element,
            naming(element),
            vcpus=named(vcpus),
            other=overlap.element,
            other_vcpus=named(overlap.vcpus),
            exception=exception,
        )
        return False
