"""The names of an emulator's threads: ``CPU 0/KVM``, ``CPU 1/TCG``, given by QEMU where it has debug-threads=on.

Name and uuid come from its arguments. Whoever starts a process can choose all of these.
"""

from collections.abc import Sequence

from cachetune.guests.proc.processes import Process
from cachetune.guests.proc.threads import ONE_THREAD
from cachetune.guests.sources.sighting import Seen, Sighting

_NO_NAMES = "its threads have no names of vCPUs (QEMU gives them with -name …,debug-threads=on)"
_TWICE = "two of its threads have the name of the same vCPU"


def look(processes: Sequence[Process]) -> Seen:
    """Every emulator, with its vCPUs as far as the names tell them."""
    return Seen(tuple(_sighting(process) for process in processes))


def _sighting(process: Process) -> Sighting:
    named = [(thread.vcpu, thread.tid) for thread in process.threads if thread.vcpu is not None]
    vcpus = dict(named)
    ambiguous = len(vcpus) < len(named)
    return Sighting(
        source="threads",
        process=process,
        name=process.name,
        uuid=process.uuid,
        vcpus={} if ambiguous else vcpus,
        one_thread=any(thread.comm == ONE_THREAD for thread in process.threads),
        why_no_vcpus=_TWICE if ambiguous else "" if vcpus else _NO_NAMES,
    )
