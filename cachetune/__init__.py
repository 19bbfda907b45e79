"""Cache and memory-bandwidth allocation for libvirt guests through the kernel's resctrl.

    import cachetune

    domain = cachetune.load("examples/web.xml")
    host = cachetune.read_host("sim:skylake-2s")
    plan = cachetune.plan(domain, host, shrink_default=True)
    print(plan.summary.control_groups_created)

The names in ``__all__`` are the public API: functions, the values that they take and return, and the errors that they
raise. Each is imported on first use. ``cachetune.testing`` is a resctrl for tests, without hardware. Everything else
may change between releases.
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
        HostError,
        InputError,
        InterruptedRunError,
        InvalidDomainError,
        JournalDamagedError,
        LockTimeoutError,
        MachineNameError,
        MissingExtraError,
        MountError,
        NotAProcessError,
        NotMountedError,
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
        recover,
        remove,
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
    "FuseUnavailableError",
    "GroupConflictError",
    "GroupNotFoundError",
    "Guest",
    "GuestNotFoundError",
    "GuestVcpusUnknownError",
    "Host",
    "HostError",
    "InputError",
    "InterruptedRunError",
    "InvalidDomainError",
    "JournalDamagedError",
    "LockTimeoutError",
    "MachineNameError",
    "MissingExtraError",
    "MountError",
    "NotAProcessError",
    "NotMountedError",
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
    "ThreadNotFoundError",
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
    "recover",
    "remove",
]

_VALUES = {
    "Cbm": "cbm",
    "Domain": "domain.model",
    "Guest": "guests.model",
    "Host": "host.model",
    "Plan": "plan.model",
    "Reading": "watch.model",
    "Report": "apply.report",
    "RunningGuest": "guests.model",
    "SourceOptions": "guests.sources.options",
}


def _module_of(name: str) -> str:
    return _VALUES.get(name) or ("errors" if name.endswith("Error") else "service.api")


__getattr__ = lazy(__name__, {name: _module_of(name) for name in __all__})


class _Callable(ModuleType):
    """A subpackage with the name of a public function: ``plan`` and ``apply`` can be called, and still have modules."""

    def __call__(self, *args: "Any", **options: "Any") -> "Any":
        from cachetune.service import api

        return getattr(api, self.__name__.rpartition(".")[2])(*args, **options)


class _Package(ModuleType):
    """This package: an import of ``cachetune.plan`` must not hide the function of that name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in {"plan", "apply"} and isinstance(value, ModuleType):
            value.__class__ = _Callable
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
