"""The runner as a command: ``python -m tests.kernel.vm [OPTIONS] -- COMMAND``.

Its exit status is the command's; 124 when the machine made no progress, 125 when it was not available or failed.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from tests.kernel.vm.guest import Machine, Sink
from tests.kernel.vm.image import DEFAULT_KERNEL, VmError
from tests.kernel.vm.rdt import Rdt
from tests.kernel.vm.run import run
from tests.waiting import StalledError


def main() -> int:
    """Run the command; returns the exit status."""
    given = _parser().parse_args()
    rdt = Rdt(l3_ways=given.l3_ways, l3_way_kib=given.l3_way_kib, mba_closids=given.mba_closids, rmids=given.rmids)
    machine = Machine(sockets=given.sockets, cores=given.cores, kernel=given.kernel, append=given.append, rdt=rdt)
    try:
        result = run(
            given.command,
            machine=machine,
            cdp=given.cdp,
            options=given.options,
            mount=not given.no_mount,
            rw=given.rw,
            env=dict(item.split("=", 1) for item in given.env),
            cpu_limit=given.cpu_limit,
            sinks={"out": _to(sys.stdout.fileno()), "err": _to(sys.stderr.fileno())},
        )
    except (StalledError, VmError) as error:
        sys.stderr.write(f"kernelvm: {error}\n")
        return 124 if isinstance(error, StalledError) else 125
    if given.hw_state:
        given.hw_state.write_text(json.dumps(dataclasses.asdict(result.hw_state), indent=1) + "\n")
    return result.status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernel.vm",
        usage="%(prog)s [options] -- COMMAND [ARGUMENT...]",
        description="Run a command under a real kernel that has a working resctrl file system.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("command", nargs="+", help=argparse.SUPPRESS)
    add("--sockets", type=int, default=2, help="L3 caches")
    add("--cores", type=int, default=1, help="processors per L3 cache")
    add("--kernel", default=DEFAULT_KERNEL, help="package or .deb file; the default is linux-image-amd64's")
    add("--append", default="", help="more kernel parameters")
    add("--l3-ways", type=int, default=Rdt.l3_ways, help="length of L3 masks; 0: no L3 CAT")
    add("--l3-way-kib", type=int, default=Rdt.l3_way_kib, help="size of a way in KiB")
    add("--mba-closids", type=int, default=Rdt.mba_closids, help="0: no MBA")
    add("--rmids", type=int, default=Rdt.rmids, help="0: no monitoring")
    add("--cdp", action="store_true", help="mount resctrl with -o cdp")
    add("--options", default="", help="mount options of resctrl, such as mba_MBps")
    add("--no-mount", action="store_true", help="leave /sys/fs/resctrl unmounted")
    add("--rw", type=Path, action="append", default=[], help="let writes below this directory last")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="add to the command's environment")
    add("--cpu-limit", type=float, default=900.0, metavar="SECONDS", help="CPU time that the machine may use")
    add("--hw-state", type=Path, metavar="FILE", help="write the RDT registers at the end, as JSON")
    return parser


def _to(descriptor: int) -> Sink:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return write


if __name__ == "__main__":
    sys.exit(main())
