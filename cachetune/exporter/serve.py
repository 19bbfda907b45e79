"""Serve the metrics: over HTTP, as a file for node_exporter's textfile collector, or both, until a signal ends it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from cachetune.agent.notify import notifier
from cachetune.agent.reconcile import Log
from cachetune.errors import UnwritableFileError
from cachetune.exporter.collector import load_client, registry_of, text_of
from cachetune.exporter.http import Address, Tls, listening
from cachetune.exporter.look import Observer
from cachetune.exporter.model import Reason, Seen
from cachetune.exporter.samples import Samples, samples_of
from cachetune.files import replace_file
from cachetune.service.connection import Location, open_resctrl
from cachetune.service.readings import HostReadings
from cachetune.service.recording import Recording
from cachetune.service.select import Selection
from cachetune.watch import Readings
from cachetune.watch.history import Recorder
from cachetune.watch.pace import ticks

_SIGNALS = {signal.SIGTERM, signal.SIGINT}


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The options of an exporter; without ``address`` it serves nothing. ``once`` writes ``textfile`` once.

    ``db`` is a history to record into at each interval.
    """

    location: Location
    selection: Selection
    interval: float
    max_groups: int
    address: Address | None = None
    tls: Tls | None = None
    textfile: Path | None = None
    once: bool = False
    db: Path | None = None


def run_exporter(setup: Setup, log: Log, environment: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT, or with ``once`` until the file is written.

    Raises MissingExtraError, InputError, ListenError, UnwritableFileError or HistoryError if it cannot start, and
    HistoryDamagedError.
    """
    load_client()
    if setup.location.host is not None:
        open_resctrl(setup.location)
    if not setup.once:
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before there are threads: the main thread takes them
    with (
        Observer(setup.location, setup.selection, setup.interval, _reporting(log)) as observer,
        Recorder(setup.db) if setup.db else contextlib.nullcontext() as recorder,
    ):

        def samples() -> Samples:
            return samples_of(observer.seen(), setup.max_groups)

        if setup.textfile is not None:
            write_textfile(setup.textfile, samples())
        if setup.once:
            return
        with _served(setup, samples, log):
            to = notifier(environment)
            to.send(READY="1")
            recording = Recording(recorder, log) if recorder else None
            _until_a_signal(setup, observer, recording, log)
            to.send(STOPPING="1")
    if setup.textfile is not None:  # what is not measured is not exported
        setup.textfile.unlink(missing_ok=True)


def write_textfile(path: Path, samples: Samples) -> None:
    """Replace the file atomically. Raises UnwritableFileError."""
    try:
        replace_file(path, text_of(samples))
    except OSError as error:
        raise UnwritableFileError(path, error.strerror) from None


@contextlib.contextmanager
def _served(setup: Setup, samples: Callable[[], Samples], log: Log) -> Iterator[None]:
    if setup.address is None:
        yield
        return
    with listening(setup.address, setup.tls, registry_of(samples)) as address:
        log("info", f"listening on {'https' if setup.tls else 'http'}://{address}/metrics")
        if not address.is_loopback and not (setup.tls and setup.tls.client_ca):
            log("warning", "any host that reaches this address can read the names of guests")
        yield


def _until_a_signal(setup: Setup, observer: Observer, recording: Recording | None, log: Log) -> None:
    """Wait for a signal. Until then, write the file and record at every interval.

    If the file cannot be written, say so once and continue.
    """
    if setup.textfile is None and recording is None:
        signal.sigwait(_SIGNALS)
        return
    problem = ""
    for tick in ticks(setup.interval, wait=lambda seconds: signal.sigtimedwait(_SIGNALS, seconds)):
        if recording is not None:
            _record(observer.seen(), recording)
        if not tick or setup.textfile is None:
            continue  # the file was written at the start
        before, problem = problem, ""
        try:
            write_textfile(setup.textfile, samples_of(observer.seen(), setup.max_groups))
        except UnwritableFileError as error:
            problem = str(error)
        if problem != before:
            log("error" if problem else "notice", problem or f"writing {setup.textfile} again")


def _record(seen: Seen, recording: Recording) -> None:
    """Record a look; one that failed has been reported, and is missing."""
    if seen.host is not None and seen.groups:
        readings = Readings(source=seen.host.source, time=seen.time, monitors=seen.groups)
        recording.add(HostReadings(readings, seen.host))


def _reporting(log: Log) -> Callable[[Reason, str], None]:
    """Log each problem when it appears, and when it is solved. Called from the threads that serve."""
    lock = threading.Lock()

    def report(reason: Reason, text: str) -> None:
        with lock:
            log("error" if text else "notice", text or f"{reason.replace('_', ' ')}: no longer a problem")

    return report
