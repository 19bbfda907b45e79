"""libvirt's events: a thread that waits for them and wakes the main thread for a round.

libvirt's calls can block indefinitely, so they have a separate thread and rounds never wait for them. The content of an
event is not used; it only triggers a round. A lost connection is reopened after a delay that doubles up to a minute;
until then rounds are periodic.
"""

import threading
from collections.abc import Callable
from typing import Any

from cachetune.agent import signals
from cachetune.agent.reconcile import Log
from cachetune.service.select import Selection

DEFAULT_URI = "qemu:///system"

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_KEEPALIVE = (5, 3)  # interval in seconds, and how many may stay unanswered


class LibvirtEvents:
    """The events of one libvirt; ``connected`` is whether they currently arrive."""

    def __init__(self, module: Any, uri: str, wake: Callable[[], None], log: Log) -> None:
        self._libvirt, self._uri, self._wake, self._log = module, uri, wake, log
        self._closed = threading.Event()
        self._problem = ""
        self.connected = False

    def start(self) -> None:
        """Start the thread; it ends with the process."""
        self._libvirt.registerErrorHandler(lambda *_: None, None)  # it prints to stderr otherwise
        self._libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=self._run, name="libvirt events", daemon=True).start()

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while True:
            try:
                self._listen()
                wait = _FIRST_WAIT
            except self._libvirt.libvirtError as error:
                self._note(f"no events from libvirt at {self._uri}: {error}")
            was_connected, self.connected = self.connected, False
            if was_connected:
                self._wake()
            threading.Event().wait(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    def _listen(self) -> None:
        """Connect, then handle events until the connection is lost."""
        connection = self._libvirt.openReadOnly(self._uri)
        try:
            self._closed.clear()
            connection.registerCloseCallback(lambda *_: self._closed.set(), None)
            connection.setKeepAlive(*_KEEPALIVE)
            for event in self._kinds():
                connection.domainEventRegisterAny(None, event, lambda *_: self._wake(), None)
            self.connected = True
            self._note("")
            self._wake()
            while not self._closed.is_set():
                self._libvirt.virEventRunDefaultImpl()
            self._note(f"no events from libvirt at {self._uri}: connection closed")
        finally:
            connection.close()

    def _kinds(self) -> tuple[int, ...]:
        module = self._libvirt
        return (
            module.VIR_DOMAIN_EVENT_ID_LIFECYCLE,
            module.VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
            module.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
        )

    def _note(self, problem: str) -> None:
        if problem != self._problem:
            self._log(
                "warning" if problem else "notice", problem or f"receiving events from libvirt at {self._uri} again"
            )
        elif not problem and not self._problem:
            self._log("info", f"receiving events from libvirt at {self._uri}")
        self._problem = problem


def listen(selection: Selection, log: Log) -> Callable[[], bool]:
    """Listen to libvirt, if it is installed; the returned function reports whether events currently arrive."""
    module, sources = libvirt_module(), selection.sources
    if module is None or selection.source not in {None, "libvirt", "libvirt-status"}:
        return lambda: False
    if sources.connect is None and not sources.libvirt_run.exists():
        return lambda: False
    listener = LibvirtEvents(module, sources.connect or DEFAULT_URI, signals.wake, log)
    listener.start()
    return lambda: listener.connected


def libvirt_module() -> Any:
    """The module of libvirt-python; None if it is not installed."""
    try:
        import libvirt
    except ImportError:
        return None
    return libvirt
