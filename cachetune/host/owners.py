"""Who owns a group. resctrl does not record it, so the name decides: each program has its own convention."""

import functools
import re
from collections.abc import Collection

from cachetune.host.model import DEFAULT_GROUP, Owner

# libvirt's machine name: driver, "embed" and 8 digits or a user (session daemon), the domain's number, its name
_LIBVIRT = r"(?:qemu|lxc|ch)-(?:embed-[0-9a-f]{8}-|[^/]+-)?[0-9]+(?:-.+)?"
# Kubernetes' classes and goresctrl's prefix; runc names the group after the container, monitors after the pod, whose
# uid can be without hyphens
_CONTAINERS = (
    r"(?:goresctrl|containers)(?:[./_-].*)?|(?:system/)?(?:BestEffort|Burstable|Guaranteed)"
    r"|(?:pod)?(?:[0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})|[0-9a-f]{64}"
    r"|(?:crio|cri-containerd|docker|libpod)-.+"
)

_CONVENTIONS: dict[Owner, str] = {
    "cachetune": r"cachetune-.+",
    "cadvisor": r"cadvisor-.+",
    "dra": r"dra-cache.+",
    "pqos": r"COS[0-9]+|pqos-.+",
    "libvirt": _LIBVIRT,
    "containers": _CONTAINERS,
}
# One pattern, with the owner as the name of the group that matches.
_ANY = re.compile("|".join(f"(?P<{owner}>{name})" for owner, name in _CONVENTIONS.items()), re.ASCII | re.DOTALL)
_OWNERS: dict[str | None, Owner] = {owner: owner for owner in _CONVENTIONS}


def owner_of(path: str, owned: Collection[str] = ()) -> Owner:
    """Return the program that owns a group, by the last part of its path. ``owned`` are paths of groups in our ledger.

    A monitor group can have another owner than its control group.
    """
    if path == DEFAULT_GROUP:
        return "default"
    if path in owned:
        return "cachetune"
    return _owner_by_convention(path.rpartition("/")[2])


@functools.lru_cache(maxsize=1024)  # hosts are read again and again
def _owner_by_convention(name: str) -> Owner:
    match = _ANY.fullmatch(name)
    return _OWNERS[match.lastgroup] if match else "unknown"
