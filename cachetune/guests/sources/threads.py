"""The names of an emulator's threads: ``CPU 0/KVM``, ``IO iothread1``. QEMU sets them with debug-threads=on.

Other programs that run guests always name their threads (``cachetune.guests.proc.threads``).

Name and uuid come from the arguments. Any user who starts a process can choose all of these.
"""

from cachetune.guests.proc.processes import Process
from cachetune.guests.proc.stat import ONE_THREAD
from cachetune.guests.sources.sighting import Search, Seen, Sighting, named_iothreads

LABEL = "its process"

_NO_NAMES = "its threads do not have vCPU names (start QEMU with -name …,debug-threads=on)"
_TWICE = "two of its threads have the name of the same vCPU"


def worth_asking(_search: Search) -> bool:
    """Always: it costs nothing more than /proc, which has been read."""
    return True


def look(search: Search) -> Seen:
    """Return every emulator, with the vCPUs that its thread names identify."""
    return Seen(tuple(sighting_of(process) for process in search.processes))


def sighting_of(process: Process) -> Sighting:
    """Return what the arguments and thread names of one process say."""
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
        iothreads=named_iothreads(process),
    )
