"""What is given: a resctrl file system and sysfs in, a frozen ``Host`` out. Knows nothing of XML, changes
nothing.

The package's modules import one another directly; the names below are for its users and are loaded when first
used, so that a command which only needs the values does not pay for the rest.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cachetune.host.check import check_host
    from cachetune.host.owners import owner_of
    from cachetune.host.read import read_host
    from cachetune.host.resctrlfs import Resctrl, SysfsResctrl

_WHERE = {
    "Resctrl": "resctrlfs",
    "SysfsResctrl": "resctrlfs",
    "check_host": "check",
    "owner_of": "owners",
    "read_host": "read",
}

__all__ = ["Resctrl", "SysfsResctrl", "check_host", "owner_of", "read_host"]


def __getattr__(name: str) -> Any:  # the import system's hook for names that are not there yet
    if name not in _WHERE:
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module(f"cachetune.host.{_WHERE[name]}"), name)
