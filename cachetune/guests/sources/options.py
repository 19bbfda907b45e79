"""The settings of the sources: one field of ``SourceOptions`` each, from which the command line makes its option."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_type_hints

import msgspec

from cachetune.guests.sources import SourceName


class Setting(NamedTuple):
    """How a setting appears in ``--help``. ``requests`` is the source that it makes mandatory."""

    help: str
    kind: Literal["directory", "socket", "text"] = "directory"
    metavar: str | None = None
    requests: SourceName | None = None


class SourceOptions(msgspec.Struct, frozen=True):
    """Where running guests are looked for. ``proc`` is shared by all sources; the others belong to one each."""

    connect: Annotated[
        str | None,
        Setting("URI of libvirt's API (default: qemu:///system).", "text", "URI", requests="libvirt"),
    ] = None
    qmp: Annotated[
        Path | None,
        Setting("QMP socket of a QEMU to query.", "socket", "SOCKET", requests="qmp"),
    ] = None
    libvirt_run: Annotated[Path, Setting("Directory of libvirt's status files.")] = Path("/run/libvirt/qemu")
    cgroup: Annotated[Path, Setting("The cgroup file system.")] = Path("/sys/fs/cgroup")
    proc: Annotated[Path, Setting("The proc file system, for processes and threads.")] = Path("/proc")

    @property
    def requested(self) -> frozenset[SourceName]:
        """The sources that a setting makes mandatory: they must answer."""
        given = {name: setting.requests for name, setting in settings().items() if getattr(self, name) is not None}
        return frozenset(name for name in given.values() if name)


def settings() -> dict[str, Setting]:
    """The settings by field name."""
    hints: dict[str, Any] = get_type_hints(SourceOptions, include_extras=True)
    return {name: hints[name].__metadata__[0] for name in SourceOptions.__struct_fields__}
