"""Waiting for the next round: signals are blocked all the while and taken one by one, so none tears a step apart.

SIGTERM and SIGINT end the agent, SIGHUP has it look at once and try again what failed, SIGUSR1 is its own way to say
that libvirt has told something. Threads started after ``block`` leave all of them to the main thread.
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
    """From now on these signals wait until they are asked for."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WHY)


def wait(seconds: float, beat: float, on_beat: Callable[[], None]) -> Why:
    """What comes first: a signal, or so many seconds. ``on_beat`` is called every ``beat`` seconds meanwhile."""
    end = time.monotonic() + seconds
    while True:
        left = max(end - time.monotonic(), 0.0)
        if (came := signal.sigtimedwait(_WHY, min(left, beat))) is not None:
            return _WHY[came.si_signo]
        if left <= beat:
            return "time"
        on_beat()


def stop_is_asked() -> bool:
    """Whether a signal to end has come; it is left for ``wait``."""
    return bool(signal.sigpending() & {signal.SIGTERM, signal.SIGINT})


def wake() -> None:
    """Let ``wait`` return in the main thread, from any other."""
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, signal.SIGUSR1)
