"""Compatibility with a libvirt version: the findings that --libvirt VERSION adds.

An error is what that version's parser or QEMU driver refuses, a warning what it ignores or only its schema refuses
(``virsh define --validate``). Source: the parsers and schemas of libvirt 9.0, 10.8, 11.3, 12.4 and 12.8.
"""

import re
from collections.abc import Collection

from lxml import etree

from cachetune.domain.parse import Group, ParsedGroups, number
from cachetune.domain.problems import Problems, quoted
from cachetune.errors import UnknownVersionError

Version = tuple[int, int]
OLDEST: Version = (9, 0)
_BANDWIDTH_IN_ANY_UNIT: Version = (10, 8)
_ENERGY: Version = (12, 4)
_WHOLE_PROCESS: Version = (12, 8)
_HIGHEST_PERCENT = 100
_SUPPORTED = "9.0 and later, for example 10.8 or 12.8"


def parse_version(text: str) -> Version:
    """Parse ``12.8`` or ``12.8.0``. Raises UnknownVersionError for anything else and for versions before 9.0."""
    found = re.fullmatch(r"([0-9]{1,3})\.([0-9]{1,3})(\.[0-9]{1,3})?", text)
    if found is None:
        raise UnknownVersionError("libvirt", text, _SUPPORTED)
    version = (int(found[1]), int(found[2]))
    if version < OLDEST:
        raise UnknownVersionError("libvirt", text, _SUPPORTED)
    return version


def check_version(
    root: etree._Element, parsed: ParsedGroups, version: Version, problems: Problems, faulty: Collection[etree._Element]
) -> None:
    """Add findings for what libvirt ``version`` would refuse or ignore."""
    shown = "{}.{}".format(*version)
    if root.tag == "domain":
        _check_type(root, parsed, version, problems)
    for element in parsed.tunes:
        if element.tag == "energytune" and version < _ENERGY:
            problems.add("CT302", element, None, version=shown)
            continue
        if element not in faulty:
            _check_element(element, version, shown, problems)
        if element not in parsed.skipped:
            for child in element:
                if child not in faulty:
                    _check_child(child, element, version, shown, problems)
    for child in parsed.own_units:
        if refused := _refused_for_unit(child, parsed):
            problems.add("CT309", child, refused[0], version=shown, what=refused[1])
        else:
            attribute, what = _ignored(child)
            problems.add("CT310", child, attribute, version=shown, what=what)


def warn_about_own_units(parsed: ParsedGroups, problems: Problems) -> None:
    """Add what every libvirt does with units that only cachetune has, for domain XML that one may get to read."""
    for child in parsed.own_units:
        if refused := _refused_for_unit(child, parsed):
            problems.add("CT160", child, refused[0], what=refused[1])
        else:
            attribute, what = _ignored(child)
            problems.add("CT161", child, attribute, what=what)


def _ignored(node: etree._Element) -> tuple[str, str]:
    """The first attribute of a <node> that libvirt ignores, and all of them as a message shows them."""
    names = [name for name in ("unit", "resource") if node.get(name) is not None]
    return names[0], " and ".join(f"{name}={quoted(node.get(name, ''))}" for name in names)


def _refused_for_unit(child: etree._Element, parsed: ParsedGroups) -> tuple[str, str] | None:
    """The attribute that libvirt refuses, and why; None for a <node> of which it ignores the unit or the resource."""
    if child.tag == "cache":
        return "unit", f"unit={quoted(child.get('unit', ''))} on <cache>"
    if "." in (bandwidth := child.get("bandwidth", "")):
        return "bandwidth", f"bandwidth={quoted(bandwidth)} on <node>"
    if child in parsed.second_nodes:
        return "id", f"a second <node> with id={quoted(child.get('id', ''))}"
    return None


def _check_type(root: etree._Element, parsed: ParsedGroups, version: Version, problems: Problems) -> None:
    kind = root.get("type", "")
    group = next((group for group in parsed.groups.values() if version >= _ENERGY or _beyond_energy(group)), None)
    if kind != "kvm" and group is not None:
        problems.add(
            "CT308", root, "type", version="{}.{}".format(*version), element=group.element.tag, type=quoted(kind)
        )


def _beyond_energy(group: Group) -> bool:
    return bool(group.caches or group.nodes or any(monitor.resource != "energy" for monitor in group.monitors))


def _check_element(element: etree._Element, version: Version, shown: str, problems: Problems) -> None:
    if element.get("threads") is not None:
        problems.add("CT311", element, "threads", version=shown, element=element.tag)
    elif version < _WHOLE_PROCESS and element.get("vcpus") is None:
        problems.add("CT301", element, None, version=shown, element=element.tag, meaning="the whole process")
    if len(element) == 0:
        problems.add("CT306", element, None, version=shown, element=element.tag)
    if element.tag == "memorytune" and element.get("id") is not None:
        problems.add("CT307", element, "id", version=shown)


def _check_child(
    child: etree._Element, parent: etree._Element, version: Version, shown: str, problems: Problems
) -> None:
    if child.tag == "monitor":
        if child.get("threads") is not None:
            problems.add("CT311", child, "threads", version=shown, element="monitor")
        elif version < _WHOLE_PROCESS and child.get("vcpus") is None:
            problems.add("CT301", child, None, version=shown, element="monitor", meaning="the vCPUs of its group")
        if parent.tag == "cachetune" and child.get("level") is None:
            problems.add("CT305", child, None, version=shown)
    elif version >= _BANDWIDTH_IN_ANY_UNIT:
        return
    elif child.tag == "node" and (bandwidth := _whole(child.get("bandwidth", ""))) > _HIGHEST_PERCENT:
        problems.add("CT303", child, "bandwidth", version=shown, bandwidth=bandwidth)
    elif child.tag == "cache" and (level := number(child.get("level", ""))) < 3:
        problems.add("CT304", child, "level", version=shown, level=level)


def _whole(bandwidth: str) -> int:
    """The number that libvirt reads; it refuses one with decimals for those."""
    return 0 if "." in bandwidth else number(bandwidth)
