"""From a domain to the groups for its threads: paths and memberships, no masks yet.

Source of paths and memberships: libvirt 12.8. A group without an allocation is the default group; a monitor that
covers a group with an allocation is that control group itself; every other monitor has a directory under mon_groups.
Groups of ``threads`` follow the same rules; libvirt has none.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from cachetune.domain.model import Domain, GroupRequest, MonitorRequest, VcpuSet
from cachetune.domain.threads import Threads
from cachetune.findings import Finding, Source
from cachetune.guests.model import Guest, Thread
from cachetune.host.model import DEFAULT_GROUP
from cachetune.idset import mask_of
from cachetune.plan.rules import RULES

# Kernels 6.1 and 6.12 take names of 2000 bytes; a path must stay below PATH_MAX.
_LONGEST_NAME = 2000


class DesiredGroup(msgspec.Struct, frozen=True):
    """A control group (``request`` set) or a monitor group (``request`` None) that the element ``at`` requests.

    ``monitors`` are the <monitor> elements that read this group. A group of ``threads`` has no ``vcpus``.
    """

    path: str
    parent: str
    vcpus: VcpuSet | None
    request: GroupRequest | None = None
    at: Source = Source()
    monitors: tuple[MonitorRequest, ...] = ()
    threads: Threads | None = None

    @property
    def is_control(self) -> bool:
        """Whether this is a control group."""
        return self.path == self.parent

    @property
    def mask(self) -> int | None:
        """Its vCPUs or threads as a mask (cachetune.domain.threads); None for the whole process."""
        return self.threads.mask if self.threads else None if self.vcpus is None else mask_of(self.vcpus)


class Membership(msgspec.Struct, frozen=True):
    """Where a thread belongs: its control group, and the monitor group in it if there is one."""

    control: str
    monitor: str | None


def translate(domain: Domain, machine: str) -> tuple[DesiredGroup, ...]:
    """The groups of a domain in libvirt's order: each control group, then its monitor groups."""
    desired: dict[str, DesiredGroup] = {}
    for request in domain.groups:
        control = _control_path(request, machine)
        if request.has_allocation:
            whole = tuple(monitor for monitor in request.monitors if monitor.id == request.id)
            desired[control] = DesiredGroup(
                control, control, request.vcpus, request, request.at, whole, request.threads
            )
        for path, monitor in _monitor_paths(request, machine):
            new = DesiredGroup(path, control, monitor.vcpus, at=monitor.at, threads=monitor.threads)
            group = desired.setdefault(path, new)
            desired[path] = msgspec.structs.replace(group, monitors=(*group.monitors, monitor))
    return tuple(desired.values())


def name_findings(domain: Domain, machine: str) -> list[Finding]:
    """Names that resctrl does not accept, or that two groups would share (ids in live XML may be any text)."""
    findings = []
    seen: dict[str, GroupRequest] = {}
    for request in domain.groups:
        ids = {request.id, *(m.id for m in request.monitors)} - {None}
        names = [_name(machine, i) for i in sorted(i for i in ids if i)]
        findings += [_name_finding(request, name, why) for name in names if (why := _unusable(name))]
        path = _control_path(request, machine)
        if request.has_allocation and path in seen:
            same = "another group of this domain has the same name"
            findings.append(_name_finding(request, path, same, hint="change the id attribute of one of them"))
        seen[path] = request
    return findings


def memberships(desired: Iterable[DesiredGroup], guest: Guest) -> dict[int, Membership]:
    """Where each thread of the guest belongs; threads of no group are left out.

    A thread belongs to the first control group that includes it, and to the first such monitor group in there.
    Source: libvirt.
    """
    groups = tuple(desired)
    vcpus = frozenset(t.vcpu for t in guest.threads if t.vcpu is not None)
    controls = _first_takers((g for g in groups if g.is_control), vcpus)
    inside: dict[str, list[DesiredGroup]] = {}
    for group in groups:
        if not group.is_control:
            inside.setdefault(group.parent, []).append(group)
    monitors = {parent: _first_takers(of, vcpus) for parent, of in inside.items()}
    places: dict[int, Membership] = {}
    for thread in guest.threads:
        kinds = tuple(_kinds(thread, guest))
        control = controls.of(thread, kinds)
        parent = control or DEFAULT_GROUP
        monitor = monitors[parent].of(thread, kinds) if parent in monitors else None
        if control or monitor:
            places[thread.tid] = Membership(parent, monitor)
    return places


def iothread_number(name: str) -> int | None:
    """The number at the end of an iothread's name, as libvirt numbers them (iothread1); None for other names."""
    match = re.search(r"([0-9]{1,5})$", name, re.ASCII)
    return int(match[1]) if match else None


def _kinds(thread: Thread, guest: Guest) -> Iterator[Threads]:
    """The values of ``threads`` that include a thread, the most specific first.

    A vhost worker without a separate group counts as one of the emulator's, as for libvirt's <emulatorpin>. If the
    iothreads are not known, a thread without a mark can be one.
    """
    if thread.vcpu is not None:
        return
    if thread.iothread is not None:
        number = iothread_number(thread.iothread)
        if number is not None:
            yield Threads("iothreads", frozenset({number}))
        yield Threads("iothreads")
        return
    if thread.vhost:
        yield Threads("vhost")
    if thread.vhost or guest.kinds_known:
        yield Threads("emulator")


class _Takers(msgspec.Struct, frozen=True):
    """The group of each vCPU, of each kind of threads (each iothread on its own), and that of all other threads."""

    by_vcpu: dict[int, str]
    by_kind: dict[Threads, str]
    rest: str | None

    def of(self, thread: Thread, kinds: Iterable[Threads]) -> str | None:
        """The path of the first group that includes the thread.

        The whole process does not include kernel threads: libvirt's group for it has none either.
        """
        rest = None if thread.vhost == "kernel thread" else self.rest
        if thread.vcpu is not None:
            return self.by_vcpu.get(thread.vcpu, rest)
        return next((self.by_kind[kind] for kind in kinds if kind in self.by_kind), rest)


def _first_takers(groups: Iterable[DesiredGroup], vcpus: VcpuSet) -> _Takers:
    """Which group takes which thread. Each vCPU is assigned once: the cost does not grow with groups times threads."""
    left, by_vcpu = set(vcpus), dict[int, str]()
    by_kind: dict[Threads, str] = {}
    for group in groups:
        if group.threads:
            for kind in _each(group.threads):
                by_kind.setdefault(kind, group.path)
            continue
        if group.vcpus is None:
            return _Takers(by_vcpu, by_kind, group.path)
        found = left & group.vcpus
        by_vcpu.update(dict.fromkeys(found, group.path))
        left -= found
    return _Takers(by_vcpu, by_kind, None)


def _each(threads: Threads) -> Iterator[Threads]:
    if threads.iothreads is None:
        yield threads
    for number in threads.iothreads or ():
        yield Threads("iothreads", frozenset({number}))


def _control_path(request: GroupRequest, machine: str) -> str:
    return _name(machine, request.id) if request.has_allocation else DEFAULT_GROUP


def _monitor_paths(request: GroupRequest, machine: str) -> list[tuple[str, MonitorRequest]]:
    control = _control_path(request, machine)
    prefix = "" if control == DEFAULT_GROUP else f"{control}/"
    return [
        (f"{prefix}mon_groups/{_name(machine, monitor.id)}", monitor)
        for monitor in request.monitors
        if not (request.has_allocation and monitor.id == request.id)
    ]


def _name(machine: str, group_id: str | None) -> str:
    return machine if group_id is None else f"{machine}-{group_id}"


def _unusable(name: str) -> str:
    if "/" in name or "\n" in name or "\0" in name:
        return "a name cannot contain a slash or a line break"
    if len(name.encode()) > _LONGEST_NAME:
        return f"it is longer than {_LONGEST_NAME} bytes"
    return ""


def _name_finding(request: GroupRequest, name: str, why: str, hint: str | None = None) -> Finding:
    return RULES["CT215"].at(request.at, vcpus=request.who, name=name, why=why, hint=hint)
