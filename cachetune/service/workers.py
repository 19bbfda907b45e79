"""Map a function over many items in several processes, with plain fork and pipes: a pool costs more than it saves here.

Each worker takes a contiguous slice, so the results stay in order. The parent works too.
"""

import mmap
import os
import select
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

from cachetune.errors import CachetuneError

Item = TypeVar("Item")
Result = TypeVar("Result")
Tick = Callable[[int], None]

_TICK_SECONDS = 0.1
_NOTHING = b"-"


def map_forked(
    function: Callable[[Item], Result | None], items: Sequence[Item], jobs: int, tick: Tick | None
) -> list[Result]:
    """Return ``function(item)`` for every item, in order and without empty (None) results.

    ``tick`` is called periodically with the number of items done so far. Raises CachetuneError if a worker is killed.
    """
    jobs = max(1, min(jobs, len(items)))
    bounds = [len(items) * number // jobs for number in range(jobs + 1)]
    slices = [items[low:high] for low, high in pairwise(bounds)]
    done = memoryview(mmap.mmap(-1, 8 * jobs)).cast("Q")  # shared with the workers
    sys.stdout.flush()
    sys.stderr.flush()
    workers = [_start(function, part, done, number) for number, part in enumerate(slices[1:], start=1)]
    try:
        found = _work(function, slices[0] if slices else (), done, 0, tick)
        while workers:
            data = _read_all(workers[0][1], done, tick)
            if _end(*workers.pop(0)):
                raise CachetuneError("a worker process ended early", hint="pass fewer files at once")
            found += _decode(data)
    finally:
        for pid, pipe in workers:
            _end(pid, pipe)
    return found


def _start(
    function: Callable[[Item], Result | None], items: Sequence[Item], done: memoryview, number: int
) -> tuple[int, int]:
    """Fork a worker; return its pid and the pipe that carries its results."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid:
        os.close(theirs)
        return pid, ours
    status = 1
    try:
        os.close(ours)
        data = memoryview(_encode(_work(function, items, done, number, None)))
        while data:
            data = data[os.write(theirs, data) :]
        status = 0
    finally:
        os._exit(status)


def _end(pid: int, pipe: int) -> int:
    """Close the pipe of a worker and wait for it; return its status, 0 if it completed its work."""
    os.close(pipe)
    return os.waitpid(pid, 0)[1]


def _work(
    function: Callable[[Item], Result | None], items: Sequence[Item], done: memoryview, number: int, tick: Tick | None
) -> list[Result]:
    found = []
    due = time.monotonic() + _TICK_SECONDS
    for count, item in enumerate(items, start=1):
        result = function(item)
        if result is not None:
            found.append(result)
        done[number] = count
        if tick is not None and time.monotonic() > due:
            tick(sum(done))
            due = time.monotonic() + _TICK_SECONDS
    return found


def _encode(found: list[Result]) -> bytes:
    if not found:  # the common case, which saves the import of pickle
        return _NOTHING
    import pickle

    return pickle.dumps(found)


def _decode(data: bytes) -> list[Result]:
    if data == _NOTHING:
        return []
    import pickle

    decoded: list[Result] = pickle.loads(data)  # noqa: S301 - from our own child process
    return decoded


def _read_all(pipe: int, done: memoryview, tick: Tick | None) -> bytes:
    parts: list[bytes] = []
    while True:
        if tick is not None:
            while not select.select([pipe], [], [], _TICK_SECONDS)[0]:
                tick(sum(done))
        part = os.read(pipe, 1 << 20)
        if not part:
            return b"".join(parts)
        parts.append(part)
