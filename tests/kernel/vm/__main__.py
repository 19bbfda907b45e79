"""The runner as a command: ``python -m tests.kernel.vm [OPTIONS] -- COMMAND``.

Its exit status is the command's; 124 when the machine made no progress, 125 when it was not available or failed.
"""

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from tests.kernel.vm.guest import Sink
from tests.kernel.vm.kernels import DEFAULT_KERNEL
from tests.kernel.vm.machine import MACHINES, Machine
from tests.kernel.vm.packages import VmError
from tests.kernel.vm.run import run
from tests.waiting import StalledError

# Options that change one field of the machine or of its processor.
_OF_MACHINE = {
    "sockets": "L3 caches",
    "cores": "processors per L3 cache",
}
_OF_RDT = {
    "l3_ways": "length of L3 masks; 0: no L3 CAT",
    "l3_way_kib": "size of a way in KiB",
    "mba_closids": "0: no MBA",
    "rmids": "0: no monitoring",
}


def main() -> int:
    """Run the command; returns the exit status."""
    parser = _parser()
    given = parser.parse_args()
    try:
        machine = _machine(given)
    except ValueError as error:
        parser.error(str(error))
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


def _machine(given: argparse.Namespace) -> Machine:
    machine = MACHINES[given.machine]
    changed = {name: value for name in _OF_RDT if (value := getattr(given, name)) is not None}
    rdt = dataclasses.replace(machine.rdt, **changed)
    changed = {name: value for name in _OF_MACHINE if (value := getattr(given, name)) is not None}
    return dataclasses.replace(
        machine,
        kernel=tuple(given.deb) or given.kernel,
        append=given.append,
        registers=not given.no_registers,
        rdt=rdt,
        **changed,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.kernel.vm",
        usage="%(prog)s [options] -- COMMAND [ARGUMENT...]",
        description="Run a command under a real kernel that has a working resctrl file system.",
    )
    add = parser.add_argument
    add("command", nargs="+", help=argparse.SUPPRESS)
    add("--machine", choices=MACHINES, default="intel", help="the machine (default: %(default)s)")
    for name, about in (_OF_MACHINE | _OF_RDT).items():
        add(f"--{name.replace('_', '-')}", type=int, metavar="N", help=f"{about} (default: the machine's)")
    kernel = f"Debian's, such as 6.1, 6.12, 7.3, or newest (of backports; default: {DEFAULT_KERNEL})"
    add("--kernel", default=DEFAULT_KERNEL, metavar="VERSION", help=kernel)
    add("--deb", type=Path, action="append", default=[], help="a package of the kernel to use instead; repeatable")
    add("--append", default="", metavar="WORDS", help="more kernel parameters")
    add("--cdp", action="store_true", help="mount resctrl with -o cdp")
    add("--options", default="", help="mount options of resctrl, such as mba_MBps")
    add("--no-mount", action="store_true", help="leave /sys/fs/resctrl unmounted")
    add("--no-registers", action="store_true", help="drop what the kernel writes into registers: ten times faster")
    add("--rw", type=Path, action="append", default=[], metavar="DIRECTORY", help="let writes below it last")
    add("--env", action="append", default=[], metavar="NAME=VALUE", help="add to the command's environment")
    cpu_limit = "CPU time that the machine may use (default: %(default)s)"
    add("--cpu-limit", type=float, default=900.0, metavar="SECONDS", help=cpu_limit)
    add("--hw-state", type=Path, metavar="FILE", help="write the RDT registers at the end, as JSON")
    return parser


def _to(descriptor: int) -> Sink:
    def write(data: bytes) -> None:
        while data:
            data = data[os.write(descriptor, data) :]

    return write


if __name__ == "__main__":
    sys.exit(main())
