"""Who: a process id or thread ids in, a frozen ``Guest`` out (which thread is which vCPU).

Moves no thread itself.
"""

from cachetune.guests.model import Guest, Thread
from cachetune.guests.procfs import find_guest, find_process, is_same_thread, named_threads

__all__ = ["Guest", "Thread", "find_guest", "find_process", "is_same_thread", "named_threads"]
