"""The process behind ``cachetune.testing.mounted``: it serves one mount until SIGTERM or the end of its stdin."""

import os
import pickle
import signal
import sys
import threading
from pathlib import Path

import msgspec

from cachetune.errors import CachetuneError
from cachetune.guests.proc.programs import guest_named_in
from cachetune.sim.fuse.mounts import check_place
from cachetune.sim.fuse.serve import serve
from cachetune.testing.mounting import Setup
from cachetune.testing.simulated import simulate


def main() -> int:
    """Read a ``Setup`` from stdin, mount and serve. Closes stdout when the mount is up, or writes the pickled error."""
    setup = msgspec.json.decode(sys.stdin.buffer.readline(), type=Setup)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        sim = simulate(setup.profile, kernel=setup.kernel, faults=setup.faults, workloads=setup.workloads)
        place, records = check_place(Path(setup.root)), Path(setup.records)
        serve(sim, place, setup.tids, records, _close_stdout, guest_named_in)
    except CachetuneError as error:
        os.write(1, pickle.dumps(error))
        return 1
    return 0


def _close_stdout() -> None:
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)


def _end_with_stdin() -> None:
    while os.read(0, 4096):  # not sys.stdin: its lock would be held when the interpreter shuts down
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
