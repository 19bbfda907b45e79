"""libvirt's events, as a reason to look now: a thread that waits for them and wakes the main thread.

libvirt's calls block for as long as the daemon pleases, so they have a thread of their own and the rounds never wait
for them. What an event says is not used: each only means that a look is worth while. A lost connection is opened
again, after a while that doubles up to a minute; until then the rounds go by the period alone.
"""

import threading
from collections.abc import Callable
from typing import Any

from cachetune.agent import signals
from cachetune.agent.reconcile import Say
from cachetune.service.select import Selection

DEFAULT_URI = "qemu:///system"

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
_KEEPALIVE = (5, 3)  # seconds between, and how many may go unanswered


class LibvirtEvents:
    """Events of one libvirt; ``connected`` says whether they come in just now."""

    def __init__(self, module: Any, uri: str, wake: Callable[[], None], say: Say) -> None:
        self._libvirt, self._uri, self._wake, self._say = module, uri, wake, say
        self._closed = threading.Event()
        self._problem = ""
        self.connected = False

    def start(self) -> None:
        """Begin, in a thread that ends with the process."""
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
                self._note(f"libvirt at {self._uri} sends no events: {error}")
            self.connected = False
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
            self._note(f"libvirt at {self._uri} has closed the connection")
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
            self._say("warning" if problem else "notice", problem or f"libvirt at {self._uri} sends events again")
        elif not problem and not self._problem:
            self._say("info", f"libvirt at {self._uri} sends events")
        self._problem = problem


def listen(selection: Selection, say: Say) -> Callable[[], bool]:
    """Listen to libvirt if there is one; the result reports whether events arrive at the moment."""
    module, sources = libvirt_module(), selection.sources
    if module is None or selection.source not in {None, "libvirt", "libvirt-status"}:
        return lambda: False
    if sources.connect is None and not sources.libvirt_run.exists():
        return lambda: False
    listener = LibvirtEvents(module, sources.connect or DEFAULT_URI, signals.wake, say)
    listener.start()
    return lambda: listener.connected


def libvirt_module() -> Any:
    """libvirt-python; None where it is not installed."""
    try:
        import libvirt
    except ImportError:
        return None
    return libvirt
