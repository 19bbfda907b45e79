"""Wait for the next round. Signals stay blocked and are taken one at a time, so none interrupts a step.

SIGTERM and SIGINT end the agent, SIGHUP starts a round at once and retries what failed, and the agent sends itself
SIGUSR1 when a libvirt event arrives. Threads started after ``block`` leave all of them to the main thread.
"""

import signal
import threading
import time
from collections.abc import Callable
from typing import Literal

Why = Literal["stop", "reload", "event", "time"]

_WHY: dict[int, Why] = {
    signal.SIGTERM: "stop",
    signal.SIGINT: "stop",
    signal.SIGHUP: "reload",
    signal.SIGUSR1: "event",
}


def block() -> None:
    """Block the agent's signals: they stay pending until ``wait`` takes them."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WHY)


def wait(seconds: float, beat: float, on_beat: Callable[[], None]) -> Why:
    """Wait for a signal, at most ``seconds``. ``on_beat`` is called every ``beat`` seconds in the meantime."""
    end = time.monotonic() + seconds
    while True:
        left = max(end - time.monotonic(), 0.0)
        if (received := signal.sigtimedwait(_WHY, min(left, beat))) is not None:
            return _WHY[received.si_signo]
        if left <= beat:
            return "time"
        on_beat()


def stop_is_pending() -> bool:
    """Whether a signal that ends the agent is pending; ``wait`` still takes it."""
    return bool(signal.sigpending() & {signal.SIGTERM, signal.SIGINT})


def wake() -> None:
    """Make ``wait`` return in the main thread; for other threads."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGUSR1)
