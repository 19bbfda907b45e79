"""What is wanted: domain XML in, values out.

In come the bytes of a domain's XML. Out come findings (every fault, with line and column) and, if there is no error, a
``Domain`` with the groups of vCPUs that ask for cache, bandwidth or monitoring. It knows nothing of hosts and changes
nothing. The names are imported when they are used, so that checking alone starts fast.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cachetune.domain.check import Checker, Checks
    from cachetune.domain.compat import parse_version
    from cachetune.domain.document import read_file
    from cachetune.domain.format import format_cputune
    from cachetune.domain.loading import Loaded, load, load_checked

__all__ = ["Checker", "Checks", "Loaded", "format_cputune", "load", "load_checked", "parse_version", "read_file"]

_HOMES = {
    "Checker": "check",
    "Checks": "check",
    "Loaded": "loading",
    "format_cputune": "format",
    "load": "loading",
    "load_checked": "loading",
    "parse_version": "compat",
    "read_file": "document",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
