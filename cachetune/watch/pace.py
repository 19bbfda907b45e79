"""When to look: at multiples of an interval, however long a look takes."""

import itertools
import math
import time
from collections.abc import Callable, Iterator


def ticks(
    interval: float,
    count: int | None = None,
    wait: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] | None = None,
) -> Iterator[int]:
    """Yield 0 at once, then 1, 2, … every ``interval`` seconds, ``count`` times in all or without an end.

    What is done between two of them does not delay the next. If it takes longer than the interval, the ticks that it
    missed are left out, as late ones would come one upon another. ``wait`` gets seconds and ends it by returning
    something true, as ``threading.Event.wait`` does.
    """
    clock = clock or time.monotonic
    began = clock()
    for tick in itertools.count() if count is None else range(count):
        if tick:
            due = began + interval * (math.floor((clock() - began) / interval) + 1)
            if wait(max(0.0, due - clock())):
                return
        yield tick
