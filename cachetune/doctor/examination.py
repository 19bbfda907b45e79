"""What the doctor has seen of a host. Every part that may be unreadable can be ``Unknown``, with the reason."""

from typing import Literal

import msgspec

from cachetune.agent.model import AgentStatus
from cachetune.apply.state.ledger import Ledger
from cachetune.domain.model import Domain
from cachetune.guests.model import RunningGuest
from cachetune.guests.tuning_files import TuningFile
from cachetune.host.model import Host
from cachetune.service.status import Tuning

OF_A_SNAPSHOT = "a snapshot has only the host's resctrl"
Kind = Literal["mounted", "simulated", "copy", "snapshot", "none"]


class Unknown(msgspec.Struct, frozen=True):
    """A part of the examination that is not available: why, and what to do about it ("" if unknown)."""

    why: str
    hint: str = ""


class Mount(msgspec.Struct, frozen=True):
    """A mounted resctrl, from the table of mounts."""

    path: str
    options: tuple[str, ...]


class Processor(msgspec.Struct, frozen=True):
    """The processor, from /proc/cpuinfo. ``mpam`` is whether the firmware has an MPAM table (Arm)."""

    model: str
    flags: frozenset[str]
    mpam: bool = False

    @property
    def is_virtual(self) -> bool:
        """Whether this is a virtual machine."""
        return "hypervisor" in self.flags


class KernelConfig(msgspec.Struct, frozen=True):
    """The options of the running kernel's configuration that are set, and the file that they are from."""

    source: str
    options: frozenset[str]


class Kernel(msgspec.Struct, frozen=True):
    """The running kernel. ``has_resctrl`` is whether /proc/filesystems lists it."""

    release: str
    command_line: str | Unknown
    config: KernelConfig | Unknown
    has_resctrl: bool | Unknown


class Program(msgspec.Struct, frozen=True):
    """A running process: its program's name and arguments."""

    pid: int
    name: str
    arguments: tuple[str, ...]


class RuntimeConfig(msgspec.Struct, frozen=True):
    """A container runtime's configuration file. ``rdt`` is its RDT configuration, "" if it has none.

    ``problem`` is why the file cannot be read.
    """

    program: str
    file: str
    rdt: str = ""
    problem: str = ""


class ExaminedGuest(msgspec.Struct, frozen=True):
    """A running guest, what is requested for it (None if that is unknown or invalid) and whether the host matches.

    ``cpus`` are the CPUs that each of its threads may run on, by thread id.
    """

    running: RunningGuest
    request: Domain | None
    tuning: Tuning
    cpus: dict[int, frozenset[int]] = {}


class Definition(msgspec.Struct, frozen=True):
    """A guest that libvirt has a definition of, and why its version of libvirt refuses the tuning in it."""

    name: str
    refused: tuple[str, ...] = ()


class Space(msgspec.Struct, frozen=True):
    """Room in the file system of a directory, for root. ``exists`` is whether the directory itself does."""

    path: str
    free_bytes: int
    free_files: int
    is_read_only: bool = False
    exists: bool = True


class Clock(msgspec.Struct, frozen=True):
    """The wall clock in seconds since 1970, and the newest of cachetune's files."""

    now: float
    newest: float = 0.0
    newest_file: str = ""


class Journal(msgspec.Struct, frozen=True):
    """The journal of an interrupted run: whose, and what is wrong with the file ("" if nothing is)."""

    machines: tuple[str, ...]
    damage: str = ""
    same_boot: bool = True
    runs: int | None = None


class Agent(msgspec.Struct, frozen=True):
    """The status that the last agent wrote, and whether it is still running."""

    status: AgentStatus
    is_alive: bool


class Installed(msgspec.Struct, frozen=True):
    """An installed hook or systemd unit: its file, and the program in it ("" if it names none).

    ``is_active`` is whether it is executable (a hook) or enabled (a unit). ``program_path`` is where the program is
    found, "" if nowhere. ``refused`` is why the program does not accept its options ("" if it does).
    """

    file: str
    program: str
    is_active: bool
    program_path: str = ""
    refused: str = ""


class LoosePath(msgspec.Struct, frozen=True):
    """A path that other users than root can change: its octal permissions and its owner's uid."""

    path: str
    mode: int
    owner: int


class Denials(msgspec.Struct, frozen=True):
    """Refusals of a security module about cachetune or resctrl, in the logs that were searched."""

    module: str
    logs: tuple[str, ...]
    lines: tuple[str, ...] = ()


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the checks look at, collected once."""

    source: str
    kind: Kind
    resctrl: str
    host: Host | Unknown
    host_notes: tuple[str, ...] = ()
    is_read_only: bool = False
    last_status: str = ""
    mounts: tuple[Mount, ...] | Unknown
    processor: Processor | Unknown
    kernel: Kernel | Unknown
    programs: tuple[Program, ...] | Unknown
    runtimes: tuple[RuntimeConfig, ...] | Unknown
    guests: tuple[ExaminedGuest, ...] | Unknown
    guests_d: str
    tuning_files: dict[str, TuningFile] | Unknown
    definitions: tuple[Definition, ...] | Unknown
    libvirt: str | Unknown
    journal: Journal | Unknown | None
    ledger: Ledger | Unknown
    ledger_damage: str = ""
    expected: tuple[str, ...] = ()
    space: Space | Unknown
    clock: Clock | Unknown
    agent: Agent | Unknown | None
    hooks: tuple[Installed, ...] | Unknown
    units: tuple[Installed, ...] | Unknown
    mounted_at_boot: str | Unknown
    loose: tuple[LoosePath, ...] | Unknown
    denials: Denials | Unknown
