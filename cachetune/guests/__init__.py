"""Who: what the host says of its emulators in, frozen guests out (which thread is which vCPU, and who says so).

One module for each source; ``find`` asks them and holds their answers against each other. Moves no thread itself.
"""

from cachetune.guests.model import Guest, RunningGuest, SourceName, Thread
from cachetune.guests.proc.threads import find_guest, find_process, is_same_thread, named_threads

__all__ = [
    "Guest",
    "RunningGuest",
    "SourceName",
    "Thread",
    "find_guest",
    "find_process",
    "is_same_thread",
    "named_threads",
]
