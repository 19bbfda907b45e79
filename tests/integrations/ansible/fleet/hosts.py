"""What the hosts of a fleet are."""

import uuid

import msgspec


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest on a host: a real QEMU that executes nothing."""

    name: str
    vcpus: int = 2
    uuid: str = msgspec.field(default_factory=lambda: str(uuid.uuid4()))

    def command(self) -> list[str]:
        """The command line, with the name as libvirt gives it."""
        name = f"guest={self.name},debug-threads=on"
        machine = ["-machine", "q35", "-accel", "tcg,thread=multi", "-smp", str(self.vcpus), "-m", "16", "-S"]
        return ["/usr/bin/qemu-system-x86_64", "-name", name, "-uuid", self.uuid, *machine, "-nodefaults", "-nographic"]


# What each guest does in whichever group it is: it returns to 6 MiB, so with less it reads from memory.
WORKLOAD = """\
[[workload]]
guest = "*"
kind = "reuse"
working_set = "6MiB"
accesses = "1GB/s"
"""


class HostSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One host: the profile of its resctrl ("" has none), its guests, foreign groups by path, and what will fail.

    ``faults`` are as in ``cachetune sim mount --fault``, ``workload`` is the file of ``--workload``.
    """

    name: str
    profile: str
    guests: tuple[Guest, ...] = ()
    foreign_groups: dict[str, str] = {}
    faults: tuple[str, ...] = ()
    workload: str = WORKLOAD


# One of each kind that matters: two sockets, code and data apart, AMD, Arm, groups of another program, no resctrl. The
# fault strikes when a group for vCPU 0 alone gets its masks.
SIX = (
    HostSpec(name="skylake", profile="skylake-2s", guests=(Guest(name="web"),)),
    HostSpec(
        name="sapphire",
        profile="sapphire-rapids-cdp",
        guests=(Guest(name="db"), Guest(name="log")),
        faults=("write@cachetune-log-vcpus_0/schemata:EIO",),
    ),
    HostSpec(name="milan", profile="milan", guests=(Guest(name="mail"),)),
    HostSpec(name="kunpeng", profile="kunpeng-920-mpam", guests=(Guest(name="build"),)),
    HostSpec(
        name="shared",
        profile="skylake-2s",
        guests=(Guest(name="cache"),),
        foreign_groups={"pod-4711": "L3:0=700;1=700"},
    ),
    HostSpec(name="desktop", profile="", guests=(Guest(name="test"),)),
)
