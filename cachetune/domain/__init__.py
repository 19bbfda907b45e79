"""Domain XML: check it and read the requested allocations.

``load`` takes the bytes of a document and returns findings (every fault, with line and column) and, if none is an
error, a ``Domain``: the groups of vCPUs that request cache, bandwidth or monitoring. Nothing here depends on a host.

``check`` runs all checks of a document: ``xml`` has those of XML and schema, ``parse`` reads the groups and checks what
their values mean, ``compat`` compares with a libvirt version. ``build`` only converts the result into a ``Domain``.
The names below are imported on first use, so that checking alone starts fast.
"""

from typing import TYPE_CHECKING

from cachetune.lazy import lazy

if TYPE_CHECKING:
    from cachetune.domain.check import Checker, Checks
    from cachetune.domain.compat import parse_version
    from cachetune.domain.format import format_cputune
    from cachetune.domain.loading import Loaded, load, load_checked
    from cachetune.domain.tuning import SCHEMA, Head, head_of, tuning_text
    from cachetune.domain.xml.document import read_file

__all__ = [
    "SCHEMA",
    "Checker",
    "Checks",
    "Head",
    "Loaded",
    "format_cputune",
    "head_of",
    "load",
    "load_checked",
    "parse_version",
    "read_file",
    "tuning_text",
]

__getattr__ = lazy(
    __name__,
    {
        "SCHEMA": "tuning",
        "Checker": "check",
        "Checks": "check",
        "Head": "tuning",
        "Loaded": "loading",
        "format_cputune": "format",
        "head_of": "tuning",
        "load": "loading",
        "load_checked": "loading",
        "parse_version": "compat",
        "read_file": "xml.document",
        "tuning_text": "tuning",
    },
)
