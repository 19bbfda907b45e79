"""RMIDs that rest in limbo: a guest's groups are removed and made again at once, with no other RMID left.

``python -m … DOMAIN.xml``, on a machine with few RMIDs: an RMID is free again only when little of the cache is still
charged to it. What was charged stays until a group has been refused.
"""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec

from cachetune import documents
from cachetune.apply.report import Report
from cachetune.apply.run import apply
from cachetune.errors import ResctrlError
from cachetune.host import SysfsResctrl
from tests.kernel.scenarios import tree
from tests.kernel.scenarios.guest_process import running
from tests.kernel.scenarios.library import carried_out, domain_in, guest_of, place_on, planned, removal

LEAST = "65536\n"  # bytes that may still be charged to an RMID that is given out again


class Outcome(msgspec.Struct, frozen=True):
    """The second apply, and the errors of the groups that the kernel refused to make during it."""

    report: Report
    refused: tuple[str, ...]


def main() -> None:
    """Print an Outcome."""
    (tree.RESCTRL / "info/L3_MON/max_threshold_occupancy").write_text(LEAST)
    domain, connection = domain_in(Path(sys.argv[1])), place_on(Path("/run/limbo"))
    with running(4) as process:
        guest = guest_of(domain, process.threads.pid)
        carried_out(planned(domain, guest, connection), connection)
        _take_all_others()
        process.work()
        carried_out(removal(domain, connection), connection)
        wanted = planned(domain, guest, connection)
        refused: list[str] = []
        with _watched(refused):
            report = apply(wanted, connection)
    sys.stdout.buffer.write(documents.encode(Outcome(report, tuple(refused))))


def _take_all_others() -> None:
    with contextlib.suppress(OSError):
        for number in range(1000):
            os.mkdir(tree.RESCTRL / "mon_groups" / f"foreign-{number}")  # noqa: PTH102 - one system call


@contextlib.contextmanager
def _watched(refused: list[str]) -> Any:
    mkdir = SysfsResctrl.mkdir

    def watch(fs: SysfsResctrl, path: str) -> None:
        try:
            mkdir(fs, path)
        except ResctrlError as error:
            refused.append(errno.errorcode[error.errno])
            tree.mark("refused")
            raise

    with mock.patch.object(SysfsResctrl, "mkdir", watch):
        yield


if __name__ == "__main__":
    main()
