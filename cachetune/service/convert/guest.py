"""Which vCPUs of a running guest are in a class: those whose thread is in it, or that are pinned to its CPUs."""

from collections.abc import Iterable

from msgspec.structs import replace

from cachetune.errors import InputError
from cachetune.guests.model import RunningGuest
from cachetune.idset import parse_cpu_list
from cachetune.service.convert.model import Foreign, ForeignClass


def located(foreign: Foreign, running: RunningGuest) -> tuple[Foreign, dict[str, frozenset[int]]]:
    """The vCPUs of the guest in each class, by name, and the classes without the threads and CPUs that are used.

    A thread in a class counts more than CPUs, as it does for the kernel. Raises InputError if no vCPU is in any class.
    """
    threads = {thread.vcpu: thread.tid for thread in running.guest.threads if thread.vcpu is not None}
    pins = _pins(running, threads)
    found: dict[str, set[int]] = {}
    for vcpu, tid in sorted(threads.items()):
        by_thread = (each for each in foreign.classes if tid in each.tids)
        by_cpus = (each for each in foreign.classes if pins[vcpu] and pins[vcpu] <= each.cpus)
        if one := next(by_thread, None) or next(by_cpus, None):
            found.setdefault(one.name, set()).add(vcpu)
    defaults = {each.name for each in foreign.classes if each.is_default}
    vcpus = {name: frozenset(of) for name, of in found.items() if name not in defaults}
    if not vcpus:
        raise InputError(
            f"no vCPU of {running.name!r} is in a class: none has its thread there or is pinned to its CPUs",
            hint="pass --vcpus CLASS=LIST, or --class NAME for the whole guest",
        )
    tids = set(threads.values())
    classes = tuple(_without(each, tids) if each.name in vcpus else each for each in foreign.classes)
    return replace(foreign, classes=classes), vcpus


def _pins(running: RunningGuest, vcpus: Iterable[int]) -> dict[int, frozenset[int]]:
    """The host CPUs that each vCPU is pinned to by the live XML; empty if it is not."""
    domain = running.live_domain
    return {vcpu: parse_cpu_list(domain.cpus_of(vcpu)) if domain else frozenset() for vcpu in vcpus}


def _without(each: ForeignClass, tids: Iterable[int]) -> ForeignClass:
    return replace(each, tids=each.tids.difference(tids), cpus=frozenset())
