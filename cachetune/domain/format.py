"""Format a domain's groups as libvirt does: the canonical <cputune>.

First every cachetune, then every memorytune, then every energytune, in the order of the groups. Sizes are in the
largest binary unit that divides them, lists are canonical, and ids are printed only for a running guest. Values in
cachetune's own units keep them. ``threads``, which libvirt does not know, follows vcpus, and the ``resource`` of a node
its id. Loading the text gives the same groups. Source: libvirt 12.8.
"""

from collections.abc import Iterator

from cachetune.domain.model import Domain, GroupRequest, MonitorRequest, ResourceType
from cachetune.idset import format_ids
from cachetune.units import Size, plain, reduce_size


def format_cputune(domain: Domain) -> str:
    """Return the text of <cputune>, indented by two blanks per level; "" if there are no groups."""
    lines = [line for kind in ("cache", "memory", "energy") for line in _tunes(domain, kind)]
    return "\n".join(("<cputune>", *lines, "</cputune>", "")) if lines else ""


def _tunes(domain: Domain, kind: ResourceType) -> Iterator[str]:
    for group in domain.groups:
        children = [*_children(group, kind)]
        if children:
            group_id = group.id if domain.id is not None else None
            mode = "exclusive" if group.exclusive and kind == "cache" else None
            shown = _attributes(vcpus=_vcpus(group), threads=group.threads, id=group_id, mode=mode)
            yield f"  <{kind}tune{shown}>"
            yield from (f"    <{child}/>" for child in children)
            yield f"  </{kind}tune>"


def _children(group: GroupRequest, kind: ResourceType) -> Iterator[str]:
    if kind == "cache":
        for cache in group.caches:
            size = _size(cache.size)
            yield "cache" + _attributes(id=cache.cache_id, level=cache.level, type=cache.type, **size)
    elif kind == "memory":
        for node in group.nodes:
            number, unit = node.bandwidth
            resource = None if node.resource == "MB" else node.resource
            yield "node" + _attributes(id=node.node_id, resource=resource, bandwidth=plain(number), unit=unit or None)
    for monitor in group.monitors:
        if monitor.resource == kind:
            level = 3 if kind == "cache" else None
            yield "monitor" + _attributes(level=level, vcpus=_vcpus(monitor), threads=monitor.threads)


def _size(size: Size) -> dict[str, object]:
    number, unit = reduce_size(int(size.number)) if size.unit == "B" else (plain(size.number), size.unit)
    return {"size": number, "unit": unit}


def _vcpus(wanted: GroupRequest | MonitorRequest) -> str | None:
    return None if wanted.vcpus is None or wanted.threads else format_ids(wanted.vcpus)


def _attributes(**values: object) -> str:
    return "".join(f" {name}='{_escaped(str(value))}'" for name, value in values.items() if value is not None)


def _escaped(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("'", "&apos;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text
