"""The process behind ``cachetune.testing.mounted``: it serves one mount until SIGTERM or the end of its stdin."""

import os
import signal
import sys
import threading
from pathlib import Path

import msgspec

from cachetune.errors import CachetuneError, MountError
from cachetune.sim.fuse.mounts import check_place
from cachetune.sim.fuse.serve import serve
from cachetune.testing.mounting import Answer, Setup
from cachetune.testing.simulated import simulate


def main() -> int:
    """Read a ``Setup`` from stdin, mount, write an ``Answer`` to stdout, and serve."""
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    sim = simulate(setup.profile, kernel=setup.kernel, faults=setup.faults)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        serve(sim, check_place(Path(setup.root)), setup.tids, Path(setup.records), lambda: _answer(Answer()))
    except CachetuneError as error:
        _answer(Answer(error.reason if isinstance(error, MountError) else str(error), error.hint))
        return 1
    return 0


def _answer(answer: Answer) -> None:
    os.write(1, msgspec.json.encode(answer) + b"\n")


def _end_with_stdin() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be held when the interpreter shuts down
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
