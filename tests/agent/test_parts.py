"""The agent's small parts: signals, systemd notification, its files, and libvirt's events when libvirt fails."""

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cachetune.agent import events, signals, status_file
from cachetune.agent.decide import AgentOptions
from cachetune.agent.events import LibvirtEvents
from cachetune.agent.loop import Agent
from cachetune.agent.model import AgentStatus
from cachetune.agent.notify import Notifier, notifier
from cachetune.agent.reconcile import Inputs, Level
from cachetune.errors import AlreadyRunningError, StateFileError
from cachetune.guests.model import RunningGuest
from cachetune.guests.sources.options import SourceOptions
from cachetune.service.select import Selection
from tests.agent.machine import FILE, Machine, runs

SECONDS = 600.0  # never waited for, unless a test fails


# signals


@pytest.fixture
def blocked() -> Iterator[None]:
    """Block signals as the agent does, and restore them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    signals.block()
    yield
    while signal.sigtimedwait(signals._WHY, 0):
        pass
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("blocked")
@pytest.mark.parametrize(
    ("number", "why"),
    [(signal.SIGTERM, "stop"), (signal.SIGINT, "stop"), (signal.SIGHUP, "reload"), (signal.SIGUSR1, "event")],
)
def test_a_signal_sent_before_the_wait_is_not_lost(number: signal.Signals, why: str) -> None:
    signal.pthread_kill(threading.get_ident(), number)  # other threads of the tests do not block it
    assert signals.stop_is_pending() is (why == "stop")
    assert signals.wait(SECONDS, SECONDS, lambda: None) == why


@pytest.mark.usefixtures("blocked")
def test_another_thread_can_end_the_wait() -> None:
    threading.Thread(target=signals.wake).start()
    assert signals.wait(SECONDS, SECONDS, lambda: None) == "event"


@pytest.mark.usefixtures("blocked")
def test_without_a_signal_the_watchdog_is_fed_until_the_time_is_over() -> None:
    beats: list[None] = []
    assert signals.wait(0.5, 0.01, lambda: beats.append(None)) == "time"
    assert len(beats) >= 2


# systemd


def test_messages_go_to_the_socket_in_the_environment(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).send(READY="1", STATUS="two\nlines")
        assert listener.recv(100) == b"READY=1\nSTATUS=two lines"


def test_an_address_with_an_at_sign_is_an_abstract_socket() -> None:
    name = f"cachetune-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        Notifier(f"@{name}").send(WATCHDOG="1")
        assert listener.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("address", ["", "/nonexistent/notify"])
def test_a_missing_service_manager_is_not_an_error(address: str) -> None:
    Notifier(address).send(READY="1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": str(os.getpid())}, 60.0),
        ({"WATCHDOG_USEC": "60000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_applies_only_to_its_process(environment: dict[str, str], seconds: float | None) -> None:
    assert notifier(environment).watchdog_seconds == seconds


# its files


def status(**fields: object) -> AgentStatus:
    own = {"pid": os.getpid(), "start_time": status_file.own_start_time()}
    return AgentStatus(**{**own, "started": 1.0, "looked": 2.0, "period_seconds": 5.0, **fields})  # type: ignore[arg-type]


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert status_file.read(tmp_path) is None
    status_file.write(status(problem="no resctrl"), tmp_path)
    assert status_file.read(tmp_path) == status(problem="no resctrl")
    assert [file.name for file in tmp_path.iterdir()] == ["agent.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": -1}', '{"schema_version": 2}'])
def test_an_invalid_status_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "agent.json").write_text(text)
    with pytest.raises(StateFileError, match=r"cannot read .*agent\.json"):
        status_file.read(tmp_path)


def test_a_symbolic_link_never_redirects_the_status(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / "agent.json.new").symlink_to(other)
    with pytest.raises(OSError, match="symbolic"):
        status_file.write(status(), tmp_path)
    (tmp_path / "agent.json").symlink_to(other)
    status_file.write(status(), tmp_path)
    assert status_file.read(tmp_path) == status()
    assert other.read_text() == "mine"


@pytest.mark.parametrize(
    ("fields", "alive"),
    [({}, True), ({"running": False}, False), ({"start_time": 1}, False), ({"pid": 1 << 30}, False)],
)
def test_an_agent_that_has_ended_is_not_alive_nor_is_another_process(fields: dict[str, object], alive: bool) -> None:
    assert status_file.is_alive(status(**fields)) is alive


def test_the_lock_ends_with_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with status_file.only_agent(tmp_path):
            second = status_file.only_agent(tmp_path)
            with pytest.raises(AlreadyRunningError, match=f"process {os.getpid()}"):
                second.__enter__()


def test_an_impossible_run_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateFileError, match="cannot write"), status_file.only_agent(tmp_path / "file"):
        pass


# signals while it runs


@pytest.mark.usefixtures("blocked")
def test_sighup_retries_at_once_and_sigterm_ends_it(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    machine.sim.fail(errno.EIO, operation="mkdir", path="cachetune-web-vcpus_0-1")
    logged: list[str] = []
    looks: list[None] = []

    def look() -> tuple[RunningGuest, ...]:
        looks.append(None)
        return (runs(),)

    def hear(_: Level, text: str) -> None:
        logged.append(text)
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP if "failed" in text else signal.SIGTERM)

    inputs = Inputs(connection=lambda: machine.connection, files=lambda _: FILE, guests=look)
    ended = Agent(
        inputs, AgentOptions(shrink_default=True, period=1.0), tmp_path, hear, Notifier(), lambda: False
    ).run()
    assert [guest.state for guest in ended.guests] == ["placed"]
    assert (len(logged), len(looks)) == (2, 2)


# libvirt's events


class FailingLibvirt:
    """A libvirt that refuses two connections, accepts the third and closes it; the fourth ends the test."""

    VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED = 0, 1, 2

    class libvirtError(Exception):  # noqa: N801 - libvirt's own name
        pass

    def __init__(self) -> None:
        self.opened = 0
        self.over = threading.Event()
        self.listener: LibvirtEvents | None = None
        self.connected: list[bool] = []

    def registerErrorHandler(self, *_: object) -> None: ...  # noqa: N802
    def virEventRegisterDefaultImpl(self) -> None: ...  # noqa: N802
    def setKeepAlive(self, *_: object) -> None: ...  # noqa: N802
    def domainEventRegisterAny(self, *_: object) -> None: ...  # noqa: N802
    def close(self) -> None: ...

    def registerCloseCallback(self, callback: object, _: object) -> None:  # noqa: N802
        self.on_close = callback

    def openReadOnly(self, _: str) -> "FailingLibvirt":  # noqa: N802
        self.opened += 1
        if self.opened == 4:
            self.over.set()
            threading.Event().wait()  # the daemon does not answer: this thread waits forever
        if self.opened < 3:
            raise self.libvirtError("Failed to connect socket")
        return self

    def virEventRunDefaultImpl(self) -> None:  # noqa: N802
        assert self.listener is not None
        self.connected.append(self.listener.connected)
        self.on_close()  # type: ignore[operator]


def test_a_lost_connection_is_reopened_and_each_change_logged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_FIRST_WAIT", 0.001)
    logged: list[str] = []
    woken: list[bool] = []
    libvirt = FailingLibvirt()
    listener = libvirt.listener = LibvirtEvents(
        libvirt, "qemu:///system", lambda: woken.append(listener.connected), lambda *words: logged.append(words[1])
    )
    listener.start()
    assert libvirt.over.wait(SECONDS)
    assert logged == [
        "no events from libvirt at qemu:///system: Failed to connect socket",
        "receiving events from libvirt at qemu:///system again",
        "no events from libvirt at qemu:///system: connection closed",
    ]
    assert libvirt.connected == [True]
    assert (listener.connected, True in woken, woken[-1]) == (False, True, False)


def test_without_a_libvirt_to_listen_to_there_are_no_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    nowhere = SourceOptions(libvirt_run=tmp_path / "missing")
    monkeypatch.setattr(events, "libvirt_module", FailingLibvirt)
    for selection in (Selection(source="threads"), Selection(sources=nowhere)):
        assert not events.listen(selection, lambda *words: logged.append(words[1]))()
    monkeypatch.setattr(events, "libvirt_module", lambda: None)
    assert not events.listen(Selection(), lambda *words: logged.append(words[1]))()
    assert logged == []


def test_libvirt_python_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    assert events.libvirt_module() is None


def test_a_status_file_that_cannot_be_read_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "agent.json").mkdir()
    with pytest.raises(StateFileError) as caught:
        status_file.read(tmp_path)
    assert Path(caught.value.path) == tmp_path / "agent.json"
