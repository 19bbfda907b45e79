"""QMP, QEMU's monitor: the only source that asks the emulator itself. Needs the extra ``qmp`` (qemu.qmp).

QEMU serves one client per monitor, and libvirt occupies its own, so this is for guests started without libvirt, one
socket at a time, each step with a timeout. The answer uses thread ids of QEMU's own pid namespace.

The kernel says whose threads they are: a socket has the pid of the process that listens. If another process listens
for QEMU, the guest must be an emulator that owns all the threads and has the name or uuid of the answer, and the
listener must run as that process's user or as root. Otherwise any listener could have any process moved.
"""

import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cachetune.documents import repeated
from cachetune.errors import InputError, MissingExtraError, SourceTimeoutError, SourceUnavailableError
from cachetune.guests.proc.processes import Process, read_process, tids_at
from cachetune.guests.proc.programs import canonical_uuid
from cachetune.guests.sources.sighting import Search, Seen, Sighting, share_a_thread

LABEL = "QEMU's monitor"

SECONDS = 5.0
"""How long the whole conversation may take."""

_LARGEST_VCPU = 16383  # of libvirt's schema; QEMU has fewer
_LARGEST_TID = (1 << 31) - 1
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid: struct ucred


class _Cpu(msgspec.Struct, frozen=True):
    """One entry of query-cpus-fast. ``props`` has a thread-id too, which belongs to the topology."""

    index: int = msgspec.field(name="cpu-index")
    tid: int = msgspec.field(name="thread-id")


class _IoThread(msgspec.Struct, frozen=True):
    """One entry of query-iothreads: an object of the guest. QEMU's own iothreads are not listed."""

    id: str
    tid: int = msgspec.field(name="thread-id")


class _Name(msgspec.Struct, frozen=True):
    name: str = ""


class _Uuid(msgspec.Struct, frozen=True):
    uuid: str = msgspec.field(name="UUID")


class _Answer(msgspec.Struct, frozen=True):
    """What QEMU answers; ``listener`` and ``user`` are pid (0 if outside our pid namespace) and uid of the listener."""

    listener: int
    user: int
    cpus: tuple[_Cpu, ...]
    iothreads: tuple[_IoThread, ...]
    name: _Name
    uuid: _Uuid


def worth_asking(_search: Search) -> bool:
    """Never: only if a socket is named, because a query locks other clients out of the monitor."""
    return False


def look(search: Search) -> Seen:
    """Return the guest behind the QMP socket.

    Raises SourceUnavailableError if it does not answer or its process is not on this host, MissingExtraError without
    qemu.qmp, InputError without a socket.
    """
    path, proc = search.options.qmp, search.options.proc
    if path is None:
        raise InputError("source qmp needs a socket", hint="pass --qmp SOCKET")
    answer = _checked(*_ask(path), path)
    said = {cpu.index: cpu.tid for cpu in answer.cpus}
    uuid = canonical_uuid(answer.uuid.uuid)
    process, tids = _process(path, answer, uuid, search.processes, proc)
    single = share_a_thread(said)
    sighting = Sighting(
        source="qmp",
        process=process,
        name=answer.name.name,
        uuid=uuid,
        vcpus={} if single else {vcpu: tids[tid] for vcpu, tid in said.items() if tid in tids},
        ended=tuple(vcpu for vcpu, tid in said.items() if tid not in tids),
        one_thread=single,
        why_no_vcpus="" if said else "QEMU reports no vCPUs",
        iothreads={tids[each.tid]: each.id for each in answer.iothreads if each.tid in tids},
    )
    return Seen((sighting,))


def _process(
    path: Path, answer: _Answer, uuid: str | None, processes: Sequence[Process], proc: Path
) -> tuple[Process, Mapping[int, int]]:
    """The emulator that answers, and its threads by the ids that it uses itself."""
    said = {cpu.tid for cpu in answer.cpus}
    listener = read_process(answer.listener, proc)
    if listener:
        tids = tids_at(listener, None, proc) or {}
        if said & tids.keys() or not said:
            return listener, tids
    for process in processes:
        tids = tids_at(process, None, proc) or {}
        theirs = answer.user in (0, process.user)
        same = (uuid and process.uuid == uuid) or (answer.name.name and process.name == answer.name.name)
        if said and said <= tids.keys() and same and theirs:
            return process, tids
    raise SourceUnavailableError(
        "qmp",
        f"the guest behind {path} is not a process on this host (process {answer.listener} listens)",
        hint="check whether it runs on another host or is hidden from this user",
    )


def _ask(path: Path) -> tuple[dict[str, Any], int, int]:
    """The answers of QEMU, and the pid and uid of the listener. Raises SourceUnavailableError and MissingExtraError."""
    import asyncio  # the other sources, which import this module too, do without

    try:
        import qemu.qmp  # noqa: F401 - whether it is installed
    except ImportError:
        raise MissingExtraError("qmp", "qemu.qmp", "source qmp") from None
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(SECONDS)
        try:
            connection.connect(str(path))
        except OSError as error:
            why = error.strerror or str(error)
            raise SourceUnavailableError(
                "qmp", f"cannot connect to {path}: {why}", hint="pass the socket of -qmp unix:PATH,server=on"
            ) from None
        listener, user = _listener(connection)
        said = asyncio.run(_converse(connection, path))
    return said, listener, user


def _checked(said: dict[str, Any], listener: int, user: int, path: Path) -> _Answer:
    """The answers, if they can be QEMU's. Raises SourceUnavailableError."""
    try:
        answer = msgspec.convert({**said, "listener": listener, "user": user}, _Answer)
    except msgspec.ValidationError as error:
        raise SourceUnavailableError("qmp", f"{path} does not answer like QEMU: {error}") from None
    for problem in _problems(answer):
        raise SourceUnavailableError("qmp", f"{path} does not answer like QEMU: {problem}")
    return answer


def _problems(answer: _Answer) -> Iterator[str]:
    """What contradicts itself in the answers. Several vCPUs may share a thread: TCG does that."""
    yield from repeated("vCPU", (str(cpu.index) for cpu in answer.cpus))
    for cpu in answer.cpus:
        if not 0 <= cpu.index <= _LARGEST_VCPU:
            yield f"there is no vCPU {cpu.index}"
    for tid in (*(cpu.tid for cpu in answer.cpus), *(each.tid for each in answer.iothreads)):
        if not 0 < tid <= _LARGEST_TID:
            yield f"{tid} is not the id of a thread"
    yield from repeated("iothread", (each.id for each in answer.iothreads))
    vcpus = {cpu.tid: cpu.index for cpu in answer.cpus}
    for each in answer.iothreads:
        if each.tid in vcpus:
            yield f"vCPU {vcpus[each.tid]} and iothread {each.id!r} have the same thread"


def _listener(connection: socket.socket) -> tuple[int, int]:
    """Pid and uid of the process that created the socket, from the kernel."""
    pid, user, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return pid, user


async def _converse(connection: socket.socket, path: Path) -> dict[str, Any]:
    import asyncio
    import logging

    from qemu.qmp import QMPClient, QMPError

    logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())  # the library raises what it logs
    client = QMPClient("cachetune")
    try:
        async with asyncio.timeout(SECONDS):
            await client.connect(connection)
            return {
                "cpus": await client.execute("query-cpus-fast"),
                "iothreads": await client.execute("query-iothreads"),
                "name": await client.execute("query-name"),
                "uuid": await client.execute("query-uuid"),
            }
    except TimeoutError:
        hint = "another program may be using this monitor: QEMU serves one client at a time"
        raise SourceTimeoutError("qmp", str(path), SECONDS, hint=hint) from None
    except (QMPError, OSError, EOFError) as error:
        raise SourceUnavailableError("qmp", f"{path} does not answer like QEMU: {error}") from None
    finally:
        await _hang_up(client)


async def _hang_up(client: Any) -> None:
    import asyncio

    from qemu.qmp import QMPError

    try:
        async with asyncio.timeout(SECONDS):
            await client.disconnect()
    except (TimeoutError, QMPError, OSError, EOFError):
        return  # the error that matters has been raised
