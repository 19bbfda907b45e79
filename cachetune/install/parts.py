"""The parts that can be installed, the files of each, and what is in them."""

import shlex
from importlib import resources
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from cachetune.errors import InputError
from cachetune.hook.hints import OPTIONS_FILE
from cachetune.install.program import Program, systemd_quoted
from cachetune.text import listed

PartName = Literal["agent", "hook", "exporter", "recorder", "mount", "logrotate", "options"]
UNIT_DIR = PurePosixPath("/etc/systemd/system")
MOUNT_UNIT = "sys-fs-resctrl.mount"
# The kernel's resctrl.rst. "debug" is for kernel developers.
MOUNT_OPTIONS = ("cdp", "cdpl2", "mba_MBps")


class Part(msgspec.Struct, frozen=True):
    """One file to install: its ``template`` in ``files``, and its ``path`` on the host; a unit's is its name.

    A ``settings`` file is there to be edited: an edited one is kept without complaint. ``needs`` is the directory
    that must exist on a host where the part makes sense, ``owner`` the software that has it.
    """

    name: PartName
    template: str
    path: str = ""
    mode: int = 0o644
    settings: bool = False
    needs: str = ""
    owner: str = ""

    @property
    def is_unit(self) -> bool:
        """Whether this is a unit of systemd."""
        return not self.path

    @property
    def is_service(self) -> bool:
        """Whether this is a service, which starts the program."""
        return self.template.endswith(".service")

    def target(self, unit_dir: PurePosixPath) -> PurePosixPath:
        """The absolute path of the file on the host."""
        return unit_dir / self.template if self.is_unit else PurePosixPath(self.path)


PARTS = (
    Part("agent", "cachetune-agent.service", needs="/etc/systemd", owner="systemd"),
    Part("exporter", "cachetune-exporter.service", needs="/etc/systemd", owner="systemd"),
    Part("recorder", "cachetune-record.service", needs="/etc/systemd", owner="systemd"),
    Part("mount", MOUNT_UNIT, needs="/etc/systemd", owner="systemd"),
    Part("hook", "hook", "/etc/libvirt/hooks/qemu.d/cachetune", mode=0o755, needs="/etc/libvirt", owner="libvirt"),
    Part("logrotate", "logrotate", "/etc/logrotate.d/cachetune", needs="/etc/logrotate.d", owner="logrotate"),
    Part("options", "default", OPTIONS_FILE, settings=True),
)
# What an option of install and uninstall can name.
NAMED: tuple[PartName, ...] = tuple(part.name for part in PARTS if not part.settings)
# The parts that read OPTIONS_FILE.
READERS: frozenset[PartName] = frozenset({"agent", "hook", "exporter", "recorder"})


def selected(names: frozenset[PartName]) -> tuple[Part, ...]:
    """The parts with these names; the file of options comes with the parts that read it."""
    wanted = names | ({"options"} if names & READERS else set())
    return tuple(part for part in PARTS if part.name in wanted)


def render(part: Part, program: Program, mount_options: tuple[str, ...] = ()) -> str:
    """The text of a part's file, without its signature. Raises InputError for a program that it cannot start."""
    text = resources.files(__package__).joinpath("files", part.template).read_text(encoding="utf-8")
    if part.is_service:
        return text.replace("@CACHETUNE@", systemd_quoted(program.path))
    if part.name == "hook":
        return text.replace("@CACHETUNE_HOOK@", shlex.join(program.hook))
    options = f"Options={','.join(mount_options)}\n" if mount_options else ""
    return text.replace("@OPTIONS@", options)


def parse_mount_options(words: str) -> tuple[str, ...]:
    """Parse resctrl's mount options, such as "cdp,mba_MBps" or "". Raises InputError."""
    options = tuple(dict.fromkeys(filter(None, words.split(","))))
    for each in options:
        if each not in MOUNT_OPTIONS:
            near = next((known for known in MOUNT_OPTIONS if known.lower() == each.lower()), "")
            hint = f"did you mean {near!r}?" if near else f"resctrl has {listed(MOUNT_OPTIONS)}"
            raise InputError(f"--mount: resctrl has no mount option {each!r}", hint=hint)
    return options
