"""The errors that cachetune raises: one flat family, each with fields and a one-line text made from them.

Every failure that a user can cause or fix is a ``CachetuneError``. Catch the class that you can handle, or the base
class for all of them:

    try:
        (guest,) = find_guests("web")
    except GuestNotFoundError as error:
        print(f"start {error.key} first")

The command prints the text and the ``hint`` and exits with ``exit_code``; it never shows a traceback. Any other
exception that escapes is a bug. Errors can be pickled, and this module is cheap to import.
"""

import copyreg
import errno as _errno
from typing import TYPE_CHECKING, Any, ClassVar

from cachetune.text import count, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from cachetune.findings import Finding


class CachetuneError(Exception):
    """Base class. ``str(error)`` says what is wrong and where, ``hint`` what to do about it ("" if unknown).

    ``exit_code`` is the command's when the error ends it: 2, could not run or start.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the text and the fields; ``__init__`` of a subclass takes the fields, not the text."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


# ---- options, files and documents


class InputError(CachetuneError):
    """An option, a file or a document cannot be used. Raised as it is for options that contradict each other."""


class UnreadableFileError(InputError):
    """A file or directory that the user named cannot be read: ``path``, ``reason``."""

    def __init__(self, path: "Path | str", reason: str | None, *, hint: str = "") -> None:
        super().__init__(f"cannot read {path}: {reason}", hint=hint)
        self.path, self.reason = str(path), reason


class UnwritableFileError(InputError):
    """A file that the user named cannot be written: ``path``, ``reason``."""

    def __init__(self, path: "Path | str", reason: str | None, *, hint: str = "") -> None:
        super().__init__(f"cannot write {path}: {reason}", hint=hint)
        self.path, self.reason = str(path), reason


class DocumentError(InputError):
    """A JSON document does not decode, or has an impossible value: its ``name``, ``reason``."""

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{name} is not valid: {reason}", hint=hint)
        self.name, self.reason = name, reason


class UnknownVersionError(InputError):
    """A ``version`` of ``product`` (libvirt, Linux) that cachetune has no rules for; ``supported`` is a phrase."""

    def __init__(self, product: str, version: str, supported: str) -> None:
        super().__init__(f"unknown {product} version {version!r}", hint=f"supported: {supported}")
        self.product, self.version, self.supported = product, version, supported


class ProfileNotFoundError(InputError):
    """No simulated host has this ``name``; ``known`` are the names that exist.

    ``prefix`` is what the user writes before the name, such as "sim:".
    """

    def __init__(self, name: str, known: "Collection[str]", prefix: str = "") -> None:
        super().__init__(f"unknown simulated host {name!r}", hint=_suggestion(name, known, prefix=prefix))
        self.name, self.known, self.prefix = name, tuple(known), prefix


# ---- guests, processes and the sources that know them


class GuestNotFoundError(InputError):
    """No running guest has the name or UUID ``key``; ``known`` are names of running guests.

    ``notes`` are sentences about what could not be read, which may be why.
    """

    _text: ClassVar[str] = "is not running on this host"

    def __init__(self, key: str, known: "Collection[str]" = (), notes: "Iterable[str]" = ()) -> None:
        self.key, self.known, self.notes = key, tuple(known), tuple(notes)
        hint = "; ".join((_suggestion(key, known, "run 'cachetune guests' to list running guests"), *self.notes))
        super().__init__(f"guest {key!r} {self._text}", hint=hint)


class UnknownGuestError(GuestNotFoundError):
    """No running guest, no group and no tuning file has the name or UUID ``key``; ``known`` are names that exist."""

    _text = "is not known: it is not running, and has neither groups nor a tuning file"


class AmbiguousGuestError(InputError):
    """Several running guests have the name ``key``: ``processes`` are pairs of pid and uid (None if unknown)."""

    def __init__(self, key: str, processes: "Iterable[tuple[int, int | None]]") -> None:
        self.key, self.processes = key, tuple(processes)
        owners = ", ".join(
            f"process {pid} (user {'unknown' if user is None else user})" for pid, user in self.processes
        )
        super().__init__(
            f"{count(len(self.processes), 'guest')} called {key!r}: {owners}", hint="pass the UUID, or --pid PID"
        )


class GuestVcpusUnknownError(InputError):
    """The vCPU threads of a guest are needed, but nothing identifies them: ``guest`` ("" if unnamed), ``pid``."""

    def __init__(self, guest: str, pid: int | None, reason: str, *, hint: str = "") -> None:
        process = f"process {pid}"
        super().__init__(f"{f'guest {guest!r} ({process})' if guest else process}: {reason}", hint=hint)
        self.guest, self.pid, self.reason = guest, pid, reason


class WrongGuestError(InputError):
    """A document describes the guest ``found``, not ``expected``."""

    def __init__(self, document: str, found: str, expected: str, *, hint: str = "") -> None:
        super().__init__(f"{document} describes guest {found!r}, not {expected!r}", hint=hint)
        self.document, self.found, self.expected = document, found, expected


class ProcessNotFoundError(InputError):
    """No process ``pid``, or it has ended."""

    def __init__(self, pid: int, text: str = "", *, hint: str = "pass the pid of the guest's QEMU process") -> None:
        super().__init__(text or f"process {pid} does not exist", hint=hint)
        self.pid = pid


class ZombieProcessError(ProcessNotFoundError):
    """Process ``pid`` has ended and waits for its parent to reap it."""

    def __init__(self, pid: int) -> None:
        super().__init__(pid, f"process {pid} has ended", hint="it is a zombie: its parent has not reaped it yet")


class NotAProcessError(ProcessNotFoundError):
    """``pid`` is a thread of the process ``leader``."""

    def __init__(self, pid: int, leader: int) -> None:
        super().__init__(pid, f"{pid} is a thread of process {leader}", hint=f"use --pid {leader}")
        self.leader = leader


class ThreadNotFoundError(InputError):
    """The thread ``tid`` that was named for ``vcpu`` does not exist."""

    def __init__(self, tid: int, vcpu: int) -> None:
        super().__init__(f"vCPU {vcpu}: thread {tid} does not exist", hint="check whether the guest has restarted")
        self.tid, self.vcpu = tid, vcpu


class SourceUnavailableError(CachetuneError):
    """A guest source is not available: ``source`` is its name (``--source``), ``reason`` a phrase."""

    def __init__(self, source: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"source {source}: {reason}", hint=hint)
        self.source, self.reason = source, reason


class SourceTimeoutError(SourceUnavailableError):
    """A guest source did not answer within ``seconds``; ``address`` is the URI or socket."""

    def __init__(self, source: str, address: str, seconds: float, *, hint: str = "") -> None:
        super().__init__(source, f"{address} did not answer within {seconds:g} s", hint=hint)
        self.address, self.seconds = address, seconds


class MissingExtraError(CachetuneError):
    """``purpose`` needs the Python ``package`` that cachetune's ``extra`` installs."""

    def __init__(self, extra: str, package: str, purpose: str) -> None:
        from cachetune.extras import how_to_install

        super().__init__(f"{purpose} requires the Python package {package}", hint=how_to_install(extra, package))
        self.extra, self.package, self.purpose = extra, package, purpose


# ---- the host and its resctrl


class HostError(CachetuneError):
    """A resctrl or sysfs tree cannot be read as a host: ``source`` is the file or tree, ``reason`` a phrase."""

    def __init__(self, source: "Path | str", reason: str, *, hint: str = "") -> None:
        super().__init__(f"{source}: {reason}", hint=hint)
        self.source, self.reason = str(source), reason


class NotMountedError(HostError):
    """``source`` is not a mounted resctrl, nor a copy of one."""

    def __init__(self, source: "Path | str", reason: str, *, hint: str = "") -> None:
        super().__init__(source, f"not a mounted resctrl ({reason})", hint=hint)


class GroupNotFoundError(InputError):
    """The host ``source`` has no group at ``path``."""

    def __init__(self, path: str, source: str) -> None:
        super().__init__(f"{source} has no group {path!r}", hint="run 'cachetune show' to list the groups")
        self.path, self.source = path, source


class LockTimeoutError(CachetuneError):
    """The lock on the resctrl directory ``path`` was not free within ``seconds``; ``holder`` is a pid, if known."""

    def __init__(self, path: str, seconds: float, holder: int | None) -> None:
        by = f" by process {holder}" if holder else ""
        super().__init__(
            f"{path} is still locked{by} after {seconds:g} s",
            hint="another program is changing resctrl; try again or raise --lock-timeout",
        )
        self.path, self.seconds, self.holder = path, seconds, holder


class ResctrlError(CachetuneError):
    """One operation on resctrl failed.

    ``errno`` is the kernel's, ``path`` relative to the resctrl root, ``written`` the text of a failed write (or None)
    and ``kernel_says`` the kernel's reason from info/last_cmd_status ("" if it has none for this failure).
    ``reason_lost`` means that the kernel had one and did not keep it, because another program used resctrl since.
    """

    def __init__(
        self,
        errno: int,
        operation: str,
        path: str,
        *,
        written: str | None = None,
        kernel_says: str = "",
        reason_lost: bool = False,
        hint: str = "",
    ) -> None:
        what = f"{operation} {path}"
        if written is not None:
            what = f"write {written!r} to {path}"
        said = f"; the kernel says: {kernel_says}" if kernel_says else ""
        if reason_lost:
            said = "; the kernel kept no reason: another program may have used resctrl at the same moment"
        super().__init__(f"cannot {what}: {_errno.errorcode.get(errno, errno)}{said}", hint=hint)
        self.errno, self.operation, self.path = errno, operation, path
        self.written, self.kernel_says, self.reason_lost = written, kernel_says, reason_lost


# ---- plans and runs


class MachineNameError(InputError):
    """``name`` cannot be used as a machine name, the prefix of a guest's group names."""

    def __init__(self, name: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{name!r} {reason}", hint=hint)
        self.name, self.reason = name, reason


class GroupConflictError(InputError):
    """Guests would share groups: ``guests`` (those known), ``group`` is the first one ("" for all their groups)."""

    def __init__(self, guests: "Sequence[str]", group: str = "", *, hint: str = "") -> None:
        self.guests, self.group = tuple(guests), group
        names = [repr(guest) for guest in self.guests]
        who = f"guests {listed(names)}" if len(names) > 1 else f"guest {names[0]} and another guest"
        what = f"group {group!r}" if group else "group names"
        super().__init__(f"{who} would have the same {what}", hint=hint)


class PlanRefusedError(CachetuneError):
    """The domains cannot be planned; ``findings`` are all the reasons."""

    _text: ClassVar[str] = "cannot be planned"

    def __init__(self, findings: "Iterable[Finding]") -> None:
        self.findings = tuple(findings)
        super().__init__(f"{self._text}: {count(sum(f.severity == 'error' for f in self.findings), 'error')}")


class InvalidDomainError(PlanRefusedError):
    """The XML of a domain, or a tuning file, has errors; ``findings`` are all of them, warnings included."""

    _text = "the XML is not valid"


class ApplyRefusedError(CachetuneError):
    """Nothing was changed; ``finding`` is the reason."""

    def __init__(self, finding: "Finding") -> None:
        super().__init__(finding.text, hint=finding.hint)
        self.finding = finding


class StepError(CachetuneError):
    """A step was carried out, but ``path`` does not read back as written. The run is rolled back."""

    exit_code = 1

    def __init__(self, path: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"{path}: {reason}", hint=hint)
        self.path, self.reason = path, reason


class InterruptedRunError(CachetuneError):
    """A ``signal`` (its name) stopped the run between two steps. The run is rolled back."""

    exit_code = 1

    def __init__(self, signal: str) -> None:
        super().__init__(f"stopped by {signal}")
        self.signal = signal


class RecoveryFailedError(CachetuneError):
    """An interrupted run cannot be undone completely; ``failures`` are sentences."""

    exit_code = 3

    def __init__(self, failures: "Iterable[str]") -> None:
        self.failures = tuple(failures)
        super().__init__(f"cannot undo an interrupted run: {'; '.join(self.failures)}")


class MeasurementLostError(CachetuneError):
    """A measurement that changes groups cannot go on: ``reason``. The ways of before are restored where possible."""

    exit_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(f"the measurement has ended early: {reason}")
        self.reason = reason


class NotRestoredError(CachetuneError):
    """The ways of ``guests`` from before a measurement are not restored: ``failures`` are sentences.

    ``reason`` is what had ended the measurement, "" if it was complete.
    """

    exit_code = 3

    def __init__(self, guests: "Sequence[str]", failures: "Sequence[str]", reason: str = "") -> None:
        self.guests, self.failures, self.reason = tuple(guests), tuple(failures), reason
        ended = f" ({reason})" if reason else ""
        super().__init__(
            f"the ways of {listed(self.guests)} are not as before the measurement{ended}: {'; '.join(self.failures)}",
            hint="run 'cachetune recover', then 'cachetune show'",
        )


class StateFileError(CachetuneError):
    """A file in the run directory (journal, ledger, status, reservation) cannot be read, written or decoded."""

    def __init__(self, path: "Path | str", reason: str | None, *, operation: str = "read", hint: str = "") -> None:
        super().__init__(f"cannot {operation} {path}: {reason}", hint=hint)
        self.path, self.reason, self.operation = str(path), reason, operation


class JournalDamagedError(StateFileError):
    """The journal is not what an interrupted run would have left."""


class AlreadyRunningError(CachetuneError):
    """Another agent already uses the run directory ``run``; ``pid`` is its process, None if unknown."""

    def __init__(self, run: "Path | str", pid: int | None) -> None:
        process = "" if pid is None else f": process {pid}"
        super().__init__(
            f"an agent is already running with {run}{process}", hint="run 'cachetune agent status' to see its state"
        )
        self.run, self.pid = str(run), pid


class AgentNotRunningError(CachetuneError):
    """No agent is running with the run directory ``run``; ``pid`` is the process of the last one, None if unknown."""

    def __init__(self, run: "Path | str", pid: int | None = None) -> None:
        last = "" if pid is None else f"; the last one was process {pid}"
        super().__init__(f"no agent is running with {run}{last}", hint="start one: systemctl start cachetune-agent")
        self.run, self.pid = str(run), pid


# ---- the history of counters


class HistoryError(CachetuneError):
    """The history at ``path`` cannot be read or written (``operation``): ``reason``."""

    def __init__(self, path: "Path | str", reason: str | None, *, operation: str = "read", hint: str = "") -> None:
        super().__init__(f"cannot {operation} history {path}: {reason}", hint=hint)
        self.path, self.reason, self.operation = str(path), reason, operation


class HistoryDamagedError(HistoryError):
    """The file at ``path`` is damaged, or is not a history that this version of cachetune reads: ``reason``."""

    def __init__(self, path: "Path | str", reason: str | None, *, hint: str = "") -> None:
        super().__init__(path, reason, hint=hint or "move it away; 'cachetune record' then begins a new one")


class HistoryInUseError(CachetuneError):
    """Another process already records into the history at ``path``; ``pid`` is its process, None if unknown."""

    def __init__(self, path: "Path | str", pid: int | None) -> None:
        process = "" if pid is None else f": process {pid}"
        super().__init__(f"another program already records into {path}{process}", hint="pass another --db FILE")
        self.path, self.pid = str(path), pid


# ---- exporting


class ListenError(CachetuneError):
    """The exporter cannot listen on ``address``: ``reason``."""

    def __init__(self, address: str, reason: str) -> None:
        hint = "pass --listen HOST:PORT with an address of this host and a free port"
        super().__init__(f"cannot listen on {address}: {reason}", hint=hint)
        self.address, self.reason = address, reason


# ---- mounting a simulated resctrl


class FuseUnavailableError(CachetuneError):
    """FUSE cannot be used on this machine: ``reason``."""

    def __init__(self, reason: str, *, hint: str = "") -> None:
        super().__init__(f"cannot use FUSE: {reason}", hint=hint)
        self.reason = reason


class MountError(CachetuneError):
    """A simulated resctrl cannot be mounted at ``directory``: ``reason``."""

    def __init__(self, directory: "Path | str", reason: str, *, hint: str = "") -> None:
        super().__init__(f"cannot mount at {directory}: {reason}", hint=hint)
        self.directory, self.reason = str(directory), reason


class UnmountError(CachetuneError):
    """The simulated resctrl at ``directory`` cannot be unmounted: ``reason``."""

    def __init__(self, directory: "Path | str", reason: str, *, hint: str = "") -> None:
        super().__init__(f"cannot unmount {directory}: {reason}", hint=hint)
        self.directory, self.reason = str(directory), reason


def error_text(error: Exception) -> str:
    """Any exception in one line, for a report or a log. One that is neither of the family nor an OSError is a bug."""
    if isinstance(error, CachetuneError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'input/output error'}: {error.strerror}"
    return f"{type(error).__name__}: {error} (this is a bug)"


def _suggestion(name: str, known: "Collection[str]", otherwise: str = "", prefix: str = "") -> str:
    """A hint: the known name that is close to this one, or else all of them; each with ``prefix``."""
    import difflib

    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"did you mean {prefix + near[0]!r}?"
    return otherwise or f"known: {listed([prefix + each for each in sorted(known)])}"
