"""Running guests: from what the host knows of its emulators to frozen guests, with the thread of each vCPU.

Each source of such knowledge is one module in ``sources``; ``find`` asks them and ``merge`` compares their answers.
Nothing here moves a thread. The names below are imported on first use.
"""

from typing import TYPE_CHECKING

from cachetune.lazy import lazy

if TYPE_CHECKING:
    from cachetune.guests.model import Guest, RunningGuest, Thread
    from cachetune.guests.proc.threads import find_guest, find_process, is_same_thread, named_threads

__all__ = [
    "Guest",
    "RunningGuest",
    "Thread",
    "find_guest",
    "find_process",
    "is_same_thread",
    "named_threads",
]

__getattr__ = lazy(
    __name__,
    {
        "Guest": "model",
        "RunningGuest": "model",
        "Thread": "model",
        "find_guest": "proc.threads",
        "find_process": "proc.threads",
        "is_same_thread": "proc.threads",
        "named_threads": "proc.threads",
    },
)
