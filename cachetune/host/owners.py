"""Who owns a group. resctrl does not record it, so the name decides: each program has its own convention."""

import re
from collections.abc import Collection

from cachetune.host.model import DEFAULT_GROUP, Owner

# libvirt's machine name: driver, "embed" and 8 digits or a user (session daemon), the domain's number, its name
_LIBVIRT = re.compile(r"(qemu|lxc|ch)-(embed-[0-9a-f]{8}-|[^/]+-)?[0-9]+(-.+)?", re.ASCII | re.DOTALL)
# Kubernetes' classes and goresctrl's prefix; runc names the group after the container, monitors after the pod
_CONTAINERS = re.compile(
    r"(goresctrl|containers)([./_-].*)?|(system/)?(BestEffort|Burstable|Guaranteed)|(pod)?"
    r"[0-9a-f]{8}([-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{64}|(crio|cri-containerd|docker|libpod)-.+",
    re.ASCII,
)

_CONVENTIONS: tuple[tuple[Owner, re.Pattern[str]], ...] = (
    ("cachetune", re.compile(r"cachetune-.+", re.DOTALL)),
    ("cadvisor", re.compile(r"cadvisor-.+", re.DOTALL)),
    ("dra", re.compile(r"dra-cache.+", re.DOTALL)),
    ("pqos", re.compile(r"COS[0-9]+|pqos-.+", re.ASCII)),
    ("libvirt", _LIBVIRT),
    ("containers", _CONTAINERS),
)


def owner_of(path: str, owned: Collection[str] = ()) -> Owner:
    """Return the program that owns a group, by the last part of its path. ``owned`` are paths of groups in our ledger.

    A monitor group can have another owner than its control group.
    """
    if path == DEFAULT_GROUP:
        return "default"
    if path in owned:
        return "cachetune"
    name = path.rpartition("/")[2]
    return next((owner for owner, pattern in _CONVENTIONS if pattern.fullmatch(name)), "unknown")
