"""Read the host as cachetune does, and print it."""

import sys
from pathlib import Path

from cachetune import documents
from cachetune.host import SysfsResctrl, read_host
from tests.kernel.scenarios.tree import RESCTRL


def main() -> None:
    """Print a Host."""
    sys.stdout.buffer.write(documents.encode(read_host(SysfsResctrl(RESCTRL), Path("/sys"))))


if __name__ == "__main__":
    main()
