"""What is wanted: domain XML in, values out.

In come the bytes of a domain's XML. Out come findings (every fault, with line and column) and, if there is no error, a
``Domain`` with the groups of vCPUs that ask for cache, bandwidth or monitoring. It knows nothing of hosts and changes
nothing.
"""

from cachetune.domain.check import Checks, Loaded, check, check_and_load, load
from cachetune.domain.compat import parse_version
from cachetune.domain.document import read_file
from cachetune.domain.format import format_cputune

__all__ = ["Checks", "Loaded", "check", "check_and_load", "format_cputune", "load", "parse_version", "read_file"]
