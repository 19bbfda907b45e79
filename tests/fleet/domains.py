"""Guests to find a host for, each as domain XML and as a Domain."""

from cachetune.domain import load
from cachetune.domain.model import Domain


def guest_xml(name: str, tuning: str) -> str:
    """Domain XML with this content of <cputune>."""
    return (
        f"<domain type='kvm'><name>{name}</name><memory>1048576</memory><vcpu>4</vcpu>"
        f"<cputune>{tuning}</cputune></domain>"
    )


def caches(*sizes: str, level: int = 3, kind: str = "both", vcpus: str = "0-3") -> str:
    """A <cachetune> that requests ways of caches: "0=2ways" of cache 0, "1=30%"."""
    requests = ""
    for each in sizes:
        number, _, size = each.partition("=")
        digits = "".join(c for c in size if c.isdigit())
        unit = size[len(digits) :]
        requests += f"<cache id='{number}' level='{level}' type='{kind}' size='{digits}' unit='{unit}'/>"
    return f"<cachetune vcpus='{vcpus}'>{requests}</cachetune>"


def guest(name: str = "web", tuning: str = "") -> Domain:
    """A domain with this content of <cputune>; 2 ways of L3 cache 0 by default."""
    loaded = load(guest_xml(name, tuning or caches("0=2ways")).encode(), f"{name}.xml")
    assert loaded.domain is not None, loaded.findings
    return loaded.domain
