"""What reading a counter does to other processors, on a machine with one processor for each of two caches."""

import os
import sys
from pathlib import Path

import msgspec

from cachetune import documents
from tests.kernel.scenarios import tree

_READS = 200


class Outcome(msgspec.Struct, frozen=True):
    """By cache, what each read on the first processor, which is that of cache 0, causes on average.

    ``interrupts`` are function calls of another processor, ``switches`` context switches of all of them.
    """

    interrupts: dict[int, float]
    switches: dict[int, float]


def main() -> None:
    """Print an Outcome."""
    os.sched_setaffinity(0, {0})
    outcome = Outcome({}, {})
    for cache in (0, 1):
        file = os.open(tree.RESCTRL / f"mon_data/mon_L3_{cache:02}/llc_occupancy", os.O_RDONLY)
        os.pread(file, 64, 0)
        calls, switches = _calls_of_others(), _switches()
        for _ in range(_READS):
            os.pread(file, 64, 0)
        outcome.interrupts[cache] = (_calls_of_others() - calls) / _READS
        outcome.switches[cache] = (_switches() - switches) / _READS
    sys.stdout.buffer.write(documents.encode(outcome))


def _calls_of_others() -> int:
    """Function call interrupts of all processors but the first."""
    return sum(map(int, _numbers("/proc/interrupts", "CAL:")[1:]))


def _switches() -> int:
    return int(_numbers("/proc/stat", "ctxt")[0])


def _numbers(file: str, name: str) -> list[str]:
    """The numbers in the line of a file that begins with a name."""
    lines = map(str.split, Path(file).read_text().splitlines())
    return next([word for word in line[1:] if word.isdigit()] for line in lines if line[0] == name)


if __name__ == "__main__":
    main()
