"""The host: from a resctrl file system and sysfs to a frozen ``Host``. Knows nothing of XML, changes nothing.

``read`` reads the groups and ``capabilities`` what the hardware can do (info/); ``owners`` decides who made a group,
``usage`` counts what is left, and ``check`` examines a host that comes from a file.

The modules here import one another directly. The names below are for other packages and are imported on first use, so
a command that only needs the values does not pay for the rest.
"""

from typing import TYPE_CHECKING

from cachetune.lazy import lazy

if TYPE_CHECKING:
    from cachetune.host.check import check_host
    from cachetune.host.owners import owner_of
    from cachetune.host.read import read_host
    from cachetune.host.resctrl.files import SysfsResctrl
    from cachetune.host.resctrl.port import Resctrl

__all__ = ["Resctrl", "SysfsResctrl", "check_host", "owner_of", "read_host"]

__getattr__ = lazy(
    __name__,
    {
        "Resctrl": "resctrl.port",
        "SysfsResctrl": "resctrl.files",
        "check_host": "check",
        "owner_of": "owners",
        "read_host": "read",
    },
)
