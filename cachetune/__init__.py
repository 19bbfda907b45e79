"""Cache and memory-bandwidth allocation for libvirt guests through the kernel's resctrl.

    import cachetune

    domain = cachetune.load("examples/web.xml")
    host = cachetune.read_host("sim:skylake-2s")
    plan = cachetune.plan(domain, host, shrink_default=True)
    print(plan.summary.control_groups_created)

Functions:

    load            read domain XML or a tuning file: a Domain
    read_host       read a host, a snapshot or a simulated host: a Host
    find_guests     find running guests: RunningGuest values
    plan            plan an allocation, without changing anything: a Plan
    read_plan       read a saved plan
    apply           carry out a plan, all of it or nothing: a Report
    remove          remove the groups of a guest: a Report
    recover         finish or undo an interrupted run: a Report
    read_counters   read the counters of groups: Reading values
    to_json         a value as a JSON document

All errors are subclasses of CachetuneError. ``cachetune.testing`` has a resctrl for tests, without hardware, and
docs/how-to/python.md explains all of it with examples. The names in ``__all__`` are the public API; everything else
may change between releases. Each name is imported on first use.
"""

import sys

from cachetune.lazy import lazy

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from cachetune.apply.report import Report
    from cachetune.cbm import Cbm
    from cachetune.domain.model import Domain
    from cachetune.errors import (
        AgentNotRunningError,
        AlreadyRunningError,
        AmbiguousGuestError,
        ApplyRefusedError,
        CachetuneError,
        DocumentError,
        FuseUnavailableError,
        GroupConflictError,
        GroupNotFoundError,
        GuestNotFoundError,
        GuestVcpusUnknownError,
        HistoryDamagedError,
        HistoryError,
        HistoryInUseError,
        HostError,
        InputError,
        InterruptedRunError,
        InvalidDomainError,
        JournalDamagedError,
        ListenError,
        LockTimeoutError,
        MachineNameError,
        MeasurementLostError,
        MissingExtraError,
        MountError,
        NotAProcessError,
        NotMountedError,
        NotRestoredError,
        PlanRefusedError,
        ProcessNotFoundError,
        ProfileNotFoundError,
        RecoveryFailedError,
        ResctrlError,
        SourceTimeoutError,
        SourceUnavailableError,
        StateFileError,
        StepError,
        ThreadNotFoundError,
        UnknownGuestError,
        UnknownVersionError,
        UnmountError,
        UnreadableFileError,
        UnwritableFileError,
        WrongGuestError,
        ZombieProcessError,
    )
    from cachetune.guests.model import Guest, RunningGuest
    from cachetune.guests.sources.options import SourceOptions
    from cachetune.host.model import Host
    from cachetune.plan.model import Plan
    from cachetune.service.api import (
        apply,
        find_guests,
        load,
        plan,
        read_counters,
        read_host,
        read_plan,
        recover,
        remove,
        to_json,
    )
    from cachetune.watch.model import Reading
else:
    ModuleType = type(sys)  # without an import

__version__ = "0.1.0"

__all__ = [
    "AgentNotRunningError",
    "AlreadyRunningError",
    "AmbiguousGuestError",
    "ApplyRefusedError",
    "CachetuneError",
    "Cbm",
    "DocumentError",
    "Domain",
    "Finding",
    "FuseUnavailableError",
    "GroupConflictError",
    "GroupNotFoundError",
    "Guest",
    "GuestNotFoundError",
    "GuestVcpusUnknownError",
    "HistoryDamagedError",
    "HistoryError",
    "HistoryInUseError",
    "Host",
    "HostError",
    "InputError",
    "InterruptedRunError",
    "InvalidDomainError",
    "JournalDamagedError",
    "ListenError",
    "LockTimeoutError",
    "MachineNameError",
    "MeasurementLostError",
    "MissingExtraError",
    "MountError",
    "NotAProcessError",
    "NotMountedError",
    "NotRestoredError",
    "Plan",
    "PlanRefusedError",
    "ProcessNotFoundError",
    "ProfileNotFoundError",
    "Reading",
    "RecoveryFailedError",
    "Report",
    "ResctrlError",
    "RunningGuest",
    "SourceOptions",
    "SourceTimeoutError",
    "SourceUnavailableError",
    "StateFileError",
    "StepError",
    "Thread",
    "ThreadNotFoundError",
    "UnknownGuestError",
    "UnknownVersionError",
    "UnmountError",
    "UnreadableFileError",
    "UnwritableFileError",
    "WrongGuestError",
    "ZombieProcessError",
    "apply",
    "find_guests",
    "load",
    "plan",
    "read_counters",
    "read_host",
    "read_plan",
    "recover",
    "remove",
    "to_json",
]

_VALUES = {
    "Cbm": "cbm",
    "Domain": "domain.model",
    "Finding": "findings",
    "Guest": "guests.model",
    "Host": "host.model",
    "Plan": "plan.model",
    "Reading": "watch.model",
    "Report": "apply.report",
    "RunningGuest": "guests.model",
    "SourceOptions": "guests.sources.options",
    "Thread": "guests.model",
}


def _module_of(name: str) -> str:
    return _VALUES.get(name) or ("errors" if name.endswith("Error") else "service.api")


_CALLABLE = {"plan", "apply"}  # names of functions and of subpackages
_import = lazy(__name__, {name: _module_of(name) for name in __all__ if name not in _CALLABLE})


def __getattr__(name: str) -> "Any":
    if name not in _CALLABLE:
        return _import(name)
    from importlib import import_module

    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    """List the public names before they are imported."""
    return sorted({*globals(), *__all__})


class _Callable(ModuleType):
    """A subpackage that is also the public function of its name."""

    @property
    def __wrapped__(self) -> "Any":
        """The function, for ``inspect.signature`` and through it ``help`` and editors."""
        from cachetune.service import api

        return getattr(api, self.__name__.rpartition(".")[2])

    def __call__(self, *args: "Any", **options: "Any") -> "Any":
        return self.__wrapped__(*args, **options)


class _Package(ModuleType):
    """This package. The import system stores each subpackage as an attribute, where a function would be hidden."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in _CALLABLE and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
