"""The list of operations that a simulated and a real kernel must answer the same way.

An operation is a tuple of texts: a method of ``on_files.Files``, a path, and other arguments. The list follows the
tables of recorded behavior: schemata, tasks, cpus, mode, mkdir, rmdir, rename, last_cmd_status. Each part removes its
groups and restores the default group at the end.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator

Operation = tuple[str, ...]

ONLY_FILES = {
    "truncate": "the port has no truncate(2); the kernel accepts it and does nothing",
    "chown": "the simulated files have no owner; the kernel accepts it and changes nothing that is compared",
    "unlink": "the port cannot remove files, and the kernel refuses with EPERM",
    "create": "the port cannot create files, and the kernel refuses with EACCES",
    "symlink": "the port cannot create links, and the kernel refuses with EPERM",
    "chdir": "there is no working directory in memory; one in a removed group does not matter",
    "hold": "the port opens and closes a file in every operation",
    "read_held": "the same; ENODEV after rmdir of the group",
    "write_held": "the same; ENODEV after rmdir of the group",
}
"""What the simulator has no operation for. The real kernel's answer is recorded; compared is only what is then."""


@dataclasses.dataclass(frozen=True)
class Offer:
    """What the list depends on: names of the resources with masks, caches, ways, and CLOSIDs.

    ``extra`` are the parts whose files random operations write, too.
    """

    resources: tuple[str, ...]
    caches: int
    ways: int
    closids: int
    extra: tuple[str, ...] = ()

    @property
    def resource(self) -> str:
        """The resource that the list uses. Without any it is L3, which must be refused."""
        return self.resources[0] if self.resources else "L3"

    @property
    def full(self) -> str:
        """Return the mask of all ways."""
        return f"{(1 << self.ways) - 1:x}"


def listed(parts: Iterable[str], offer: Offer) -> list[Operation]:
    """Return the operations of these parts of the list."""
    found: list[Operation] = []
    for part in parts:
        found += PARTS[part](offer)
        if part in {"schemata", "modes", "initial-masks", "pseudo-locking"}:
            found += _all_caches("schemata", offer, offer.full)
    return found


def _all_caches(path: str, offer: Offer, mask: str) -> Iterator[Operation]:
    for resource in offer.resources or (offer.resource,):
        yield "write", path, f"{resource}:" + ";".join(f"{each}={mask}" for each in range(offer.caches)) + "\n"


def _reading(_: Offer) -> Iterator[Operation]:
    for path in ("schemata", "absent", "absent/schemata", "info", "", "schemata/x", "info/L3_MON/mon_features"):
        yield "read", path
    for path in ("", "info", "schemata", "absent", "mon_data/mon_L3_00"):
        yield "list", path
    for path in ("size", "info/last_cmd_status", "info/MB/min_bandwidth", "info", "absent", "", "schemata/x"):
        yield "write", path, "1\n"
    yield "write", "mon_data/mon_L3_00/llc_occupancy", "1\n"


def _mkdir(offer: Offer) -> Iterator[Operation]:
    yield "mkdir", "g1"
    taken = ("info", "mon_groups", "mon_data", "g1", "schemata", "tasks", "")
    given = ("a\nb", "a b", ".x", "ä", "\udcff", "{x}", "*", "-")
    long = ("n" * 255, "n" * 256, "n" * 2000, "n" * 3900, "n" * 4080)
    for name in (*taken, *given, *long):
        yield "mkdir", name
    yield from (("rmdir", name) for name in (*given, *long))
    below = ("sub", "mon_groups/mon_groups", "mon_groups/info", "mon_groups/m", "mon_groups/m/sub", "mon_data/x")
    for path in (*(f"g1/{name}" for name in below), "info/x", "mon_data/x", "schemata/x", "missing/x"):
        yield "mkdir", path
    for name in ("m", "m", "m/mon_groups", "a\nb", "mon_groups", "m/x"):
        yield "mkdir", f"mon_groups/{name}"
    yield "mkdir", "private", "700"
    for number in range(2, offer.closids + 1):
        yield "mkdir", f"c{number}"
    yield "mkdir", "mon_groups/without"
    for path in (*(f"c{number}" for number in range(2, offer.closids + 1)), "private", "g1", "mon_groups/without"):
        yield "rmdir", path
    yield "rmdir", "mon_groups/m"


def _schemata(offer: Offer) -> Iterator[Operation]:
    r, full = offer.resource, offer.full
    yield "mkdir", "g1"
    masks = [
        *("f", "0xf", "F", "+f", " f", "f ", "0", "5", f"{full}f", "fff", "800", "g", "-1", "", "=f", "f=3", "f\0"),
        *("123456789abcdef01", "f,1=f", "00003", "0x", "0X1F", "f\t", "\v3", "\udca03", full, "f;", "f;;"),
        *("f;1", "1 1", "f;1=f", "f;0=3", "f;7=f", "f;1=0", "1;1=2;2=4;3=8"),
    ]
    lines = [f"{r}:0={mask}\n" for mask in masks]
    lines += [f"{r}{rest}\n" for rest in (": 0 = f ; 1 = f0", ":;0=f", ":", "", ":0", ":=f", "::0=f")]
    lines += [f"{r}:{i}=f\n" for i in ("7", "x", "-1", "0x1", "01", "+1", " 0", "4294967296")]
    lines += [f"{name}:0=f\n" for name in (f"  {r}", f"{r} ", "l3", "L2", "L3", "L3CODE", "L3DATA", "XX", "", "SMBA")]
    values = ("50", "10", "9", "5", "0", "100", "101", "11", "15", "19", "99", "0x20", "-10", "ten", "", "50;0=20")
    lines += [f"MB:0={value}\n" for value in (*values, " 50", "40 ", "4294967295", "4294967296", "070", "20;1=30")]
    lines += [
        *(f"{r}:0=f", "", "\n", f"{r}:0=f\n\n", f"\n{r}:0=f\n", f"# note\n{r}:0=f\n", f"{r}:0=f\r\n", f"{r}:0=f\n \n"),
        *(f"{r}:0=f\n{r}:0=3\n", f"{r}:0=f\n{r}:1=0\n", f"{r}:0=f\nMB:0=5\n", f"{r}:0=f\nXX:0=1\n"),
        *(f"XX:0=1\n{r}:0=f\n", f"{r}:0=0\nMB:0=20\n", f"{r}:0=f\nMB:0=20\n"),
        *(f"MB:0=20\n{r}:0=f\n", f"MB:0=30\n{r}:0=7\n"),
        *(f"{r}:0=f\n{r}:1=f", f"{r}:1=f\n{r}:1=f\n", " \n", ":\n", "=\n"),
        *("L3CODE:0=3\n", f"L3CODE:0=3\n{r}:0=7\n", f"{r}:0=f\nL3CODE:0=0\n", f"{r}:0=f\nL3CODE:0=3\n"),
        *(f"{r}:" + "0=f;" * 1500 + "\n", f"{r}:0=" + "f" * 600 + "\n", f"{r}:0=1\0\n", f"\0{r}:0=3\n"),
    ]
    for line in lines:
        yield "write", "g1/schemata", line
    yield "write", "g1/schemata", f"{r}:0=", "f\n"
    yield "write", "g1/schemata", f"{r}:0=1\n", f"{r}:1=1\n"
    for each in ("1", "3", "f", full):
        yield "write", "schemata", f"{r}:0={each}\n"
    yield "mkdir", "after"
    yield from (("rmdir", group) for group in ("after", "g1"))


def _other_uses(offer: Offer) -> Iterator[Operation]:
    r = offer.resource
    yield "mkdir", "g1"
    yield "append", "g1/schemata", f"{r}:0=1\n"
    for mode in ("400", "0", "600"):
        yield "chmod", "g1/schemata", mode
        yield "write", "g1/schemata", f"{r}:0=3\n"
    for mode in ("700", "755"):
        yield "chmod", "g1", mode
    yield "chmod", "absent", "600"
    yield from (("truncate", "g1/schemata"), ("chown", "g1/schemata"), ("unlink", "g1/schemata"))
    yield from (("create", "g1/new"), ("create", "new"), ("symlink", "g1/link"))
    yield from (("lock", ""), ("mkdir", "while-locked"), ("rmdir", "while-locked"), ("unlock", ""))
    yield from (("lock", "g1"), ("write", "g1/schemata", f"{r}:0=7\n"), ("unlock", "g1"), ("rmdir", "g1"))


def _tasks(_: Offer) -> Iterator[Operation]:
    for group in ("g1", "g2", "g1/mon_groups/m1", "g2/mon_groups/m2", "mon_groups/m0"):
        yield "mkdir", group
    for group in ("g1", "g1", "g1/mon_groups/m1", "g2", "g1/mon_groups/m1", "mon_groups/m0", "g2/mon_groups/m2", "g2"):
        yield "write", f"{group}/tasks", "{A}\n"
    for path in ("g2/mon_groups/m2/tasks", "tasks", "mon_groups/m0/tasks", "tasks"):
        yield "write", path, "{A}\n"
    texts = [
        *("{A},{B}\n", "{A} {B}\n", "{A}\n{B}\n", "{A},999999,{B}\n", "{A}", " {A} \n", "999999\n", "-1\n"),
        *("0\n", "\n"),
        *("", "abc\n", "1x\n", "99999999999\n", "2147483648\n", "{A:#x}\n", "0{B:o}\n", ",\n", ",{C}\n", "{C},\n"),
        *("{C}, {D}\n", "{C},,{D}\n", "{A},{A}\n", "+{A}\n", "{A}\0{B}\n", "00\n", "0x0\n", "{A}\r\n", "{K}\n"),
        "x" * 700 + "\n",
    ]
    for text in texts:
        yield "write", "g1/tasks", text
    for text in ("{A},{B},{C},{D}\n", "{A},{W}\n", "0\n", "{B},x,{C}\n"):
        yield "write", "g1/mon_groups/m1/tasks", text
    for name in "ABCDWK":
        yield "write", "tasks", f"{{{name}}}\n"
    yield from (("rmdir", group) for group in ("g1", "g2", "mon_groups/m0"))


def _processes(_: Offer) -> Iterator[Operation]:
    for group in ("g1", "g2", "g1/mon_groups/m1"):
        yield "mkdir", group
    yield "write", "g1/tasks", "{W}\n"
    yield "fork", "E"
    yield "thread", "T"
    yield "write", "tasks", "{W}\n"
    yield "write", "g2/tasks", "{T}\n"
    yield "fork", "F"
    yield "write", "g1/mon_groups/m1/tasks", "{E}\n"
    yield "kill", "E"
    yield "write", "g2/tasks", "{E}\n"
    yield "reap", "E"
    yield "write", "g2/tasks", "{E}\n"
    yield "kill", "F"
    yield "rmdir", "g2"
    yield "reap", "F"
    yield "rmdir", "g1"


def _cpus(_: Offer) -> Iterator[Operation]:
    for group in ("g1", "g2", "g1/mon_groups/m1", "g1/mon_groups/m2"):
        yield "mkdir", group
    rows = [
        *(("g1/cpus_list", "0\n"), ("g1/cpus_list", "0-1\n"), ("g1/cpus", "1\n"), ("g1/cpus", "3\n")),
        *(("g2/cpus_list", "1\n"), ("g1/mon_groups/m1/cpus_list", "0\n"), ("g1/mon_groups/m2/cpus_list", "0\n")),
        *(("g1/mon_groups/m1/cpus_list", "1\n"), ("g1/mon_groups/m1/cpus", "1\n"), ("g1/cpus_list", "\n")),
        *(("g1/cpus_list", text) for text in ("", "0,1\n", "7\n", "x\n", "1-0\n", "0", " 0 \n", ",0,\n", "N\n")),
        *(
            ("g1/cpus_list", text)
            for text in ("0-N\n", "all\n", "0-1:1/2\n", "0 1\n", "1-\n", "0\n1\n", "0\0z\n", "0x1\n")
        ),
        *(("g1/cpus", text) for text in ("ff\n", "0x1\n", "zz\n", "00000003\n", "0\n", "0,3\n", "1,0\n")),
        ("g1/cpus", "100000000\n"),
        *(("cpus_list", text) for text in ("0\n", "0-1\n", "\n", "0-9\n")),
        *(("cpus", text) for text in ("1\n", "ffffffff\n", "0\n")),
    ]
    for path, text in rows:
        yield "write", path, text
    yield "write", "g1/cpus_list", "0-1\n"
    yield "write", "g1/mon_groups/m1/cpus_list", "0\n"
    yield from (("rmdir", group) for group in ("g1/mon_groups/m1", "g2", "g1"))


def _rmdir(_: Offer) -> Iterator[Operation]:
    for group in ("g1", "g1/mon_groups/m1", "g1/mon_groups/m2"):
        yield "mkdir", group
    yield "write", "g1/tasks", "{A}\n"
    yield "write", "g1/mon_groups/m1/tasks", "{A}\n"
    yield "write", "g1/cpus_list", "0\n"
    kept = ("", "info", "info/L3", "mon_groups", "mon_data", "mon_data/mon_L3_00", "g1/mon_groups", "g1/mon_data")
    for path in (*kept, "g1/mon_data/mon_L3_00", "missing", "schemata", "g1/tasks/x", "g1/mon_groups/m1"):
        yield "rmdir", path
    yield "hold", "g1/schemata"
    yield "chdir", "g1"
    yield "rmdir", "g1"
    yield "read_held", "g1/schemata"
    yield "write_held", "g1/schemata", "L3:0=1\n"
    yield "chdir", ""


def _rename(_: Offer) -> Iterator[Operation]:
    for group in ("g1", "g1/mon_groups/m1", "g2", "mon_groups/m0"):
        yield "mkdir", group
    yield "write", "g1/tasks", "{A}\n"
    yield "write", "g1/mon_groups/m1/tasks", "{A}\n"
    m1 = "g1/mon_groups/m1"
    refused = [
        *(("g1", "g9"), ("g1", "g2"), ("g1", "g2/mon_groups/g1"), ("info", "g5"), ("mon_groups", "mg"), ("g1", "g1")),
        *((m1, "m1"), (m1, "g2/m1"), (m1, "mon_groups/m0"), (m1, m1), (m1, f"{m1}/x"), (m1, "absent/x")),
        *(("absent", "x"), ("schemata", "x"), ("schemata", "g1"), (m1, "schemata"), ("g1/mode", "g1/size"), (m1, "")),
        *((m1, "g2/mon_groups/mon_groups"), ("", "x"), (m1, "g1/mon_groups"), ("mon_data", "mon_groups/x")),
    ]
    and_back = [
        *((m1, "g2/mon_groups/mx"), (m1, "mon_groups/m1"), (m1, "g1/mon_groups/a\nb"), (m1, "g1/mon_groups/m9")),
        *(("mon_groups/m0", "mon_groups/mx"), ("mon_groups/m0", "g1/mon_groups/m0")),
    ]
    moves = [pair for old, new in and_back for pair in ((old, new), (new, old))]
    for old, new in (*refused, *moves):
        yield "rename", old, new
    yield "write", "g1/cpus_list", "0\n"
    yield "write", f"{m1}/cpus_list", "0\n"
    yield "rename", m1, "g2/mon_groups/m1"
    yield "rename", m1, "g1/mon_groups/m7"
    yield from (("rmdir", group) for group in ("g1", "g2", "mon_groups/m0"))


def _status(offer: Offer) -> Iterator[Operation]:
    r = offer.resource
    rows: list[Operation] = [
        *(("read", "info/last_cmd_status"), ("read", "schemata"), ("write", "schemata", f"{r}:0=f\n")),
        *(("write", "schemata", f"{r}:0=f"), ("write", "mode", "shareable\n"), ("write", "tasks", "{A}\n")),
        *(("write", "tasks", "x\n"), ("write", "tasks", "-1\n"), ("mkdir", "g1"), ("mkdir", "g1")),
        *(("mkdir", "g1/mon_groups/m"), ("write", "g1/mon_groups/m/tasks", "999999\n"), ("mkdir", "info/x")),
        *(("write", "g1/cpus_list", "0\n"), ("write", "g1/cpus_list", "x\n"), ("rmdir", "g1/mon_groups/m")),
        *(("rename", "g1", "g2"), ("rmdir", "info"), ("rmdir", "g1"), ("rename", "absent", "g2")),
        *(("write", "info/L3_MON/max_threshold_occupancy", "100000\n"), ("write", "tasks", "")),
    ]
    for row in rows:
        yield "write", "mode", "bogus\n"
        yield row
    yield from [("write", "cpus_list", "x\n")] * 32  # until the buffer is full


def _modes(offer: Offer) -> Iterator[Operation]:
    r = offer.resource
    for group in ("g1", "g2"):
        yield "mkdir", group
    texts = ("shareable\n", "shareable", "bogus\n", "\n", "", "Exclusive\n", "exclusive\n", "pseudo-locked\n")
    for text in (*texts, "exclusive \n", " shareable\n", "shareable\n\n", "shareable\0x\n"):
        yield "write", "g1/mode", text
    for path, mask in (("schemata", "1"), ("g1/schemata", "6"), ("g2/schemata", "18")):
        yield from _all_caches(path, offer, mask)
    rows = [
        *(("g1/mode", "exclusive\n"), ("g2/schemata", f"{r}:0=c\n"), ("g2/schemata", f"{r}:0=20\n")),
        *(("g1/schemata", f"{r}:0={mask}\n") for mask in ("e", "30", "600")),
        *(("schemata", f"{r}:0=3\n"), ("g1/schemata", "MB:0=50\n"), ("g1/schemata", "L3CODE:0=1\n")),
    ]
    for path, text in rows:
        yield "write", path, text
    yield "mkdir", "g3"
    for path, text in (("g1/mode", "shareable\n"), ("mode", "exclusive\n"), ("g1/mode", "exclusive\n")):
        yield "write", path, text
    yield from (("rmdir", "g1"), ("mkdir", "g1"), ("write", "mode", "pseudo-locksetup\n"))
    yield from (("write", "mode", "shareable\n"), ("rmdir", "g1"), ("rmdir", "g2"), ("rmdir", "g3"))


def _initial_masks(offer: Offer) -> Iterator[Operation]:
    """Create groups while more and more bits are exclusive, until none are left."""
    full, shared = int(offer.full, 16), 0x600
    yield "mkdir", "g1"
    yield from _all_caches("schemata", offer, "1")
    for mask in (full - 1, full - 1 - shared):
        yield from _all_caches("g1/schemata", offer, f"{mask:x}")
        yield "write", "g1/mode", "exclusive\n"
        yield "mkdir", "g3"
        yield "rmdir", "g3"
        yield "write", "g1/mode", "shareable\n"
    yield "rmdir", "g1"
    for mask in (full, full - shared):
        yield from _all_caches("schemata", offer, f"{mask:x}")
        yield "write", "mode", "exclusive\n"
        yield "mkdir", "g3"
        yield "rmdir", "g3"
        yield "write", "mode", "shareable\n"


def _pseudo_locking(offer: Offer) -> Iterator[Operation]:
    r = offer.resource
    setup = ("write", "g1/mode", "pseudo-locksetup\n")
    yield "mkdir", "g1"
    yield from (("write", "g1/tasks", "{A}\n"), setup, ("write", "tasks", "{A}\n"))
    yield from (("write", "g1/cpus_list", "0\n"), setup, ("write", "g1/cpus_list", "\n"))
    yield from (("mkdir", "g1/mon_groups/m1"), setup, ("rmdir", "g1/mon_groups/m1"), setup)
    yield from (("write", "g1/tasks", "{A}\n"), ("write", "g1/cpus_list", "0\n"), ("mkdir", "g1/mon_groups/m1"))
    yield from _opened_again("g1")
    for text in ("exclusive\n", "shareable\n", "pseudo-locksetup\n"):
        yield "write", "g1/mode", text
    for text in (f"{r}:0=1\n", "MB:0=50\n", f"{r}:0=1"):
        yield "write", "g1/schemata", text
    yield from _all_caches("schemata", offer, f"{int(offer.full, 16) & ~0xF:x}")
    for mask in ("0", "3", "1", "1"):
        yield "write", "g1/schemata", f"{r}:0={mask}\n"
    yield from (("write", "g1/mode", "shareable\n"), ("write", "schemata", f"{r}:0=3\n"))
    yield from (("write", "g1/tasks", "{A}\n"), ("read", "g1/cpus"), ("list", "g1/mon_groups"))
    yield from _opened_again("g1")
    yield from (("mkdir", "g2"), ("write", "g2/mode", "pseudo-locksetup\n"), ("rmdir", "g2"))
    yield from (("mkdir", "g2"), ("write", "g2/schemata", f"{r}:0=10;1=10\n"))
    yield "write", "g2/mode", "pseudo-locksetup\n"
    for text in (f"{r}:0=2\n", f"{r}:1=2\n{r}:1=4\n", f"{r}:1=2\n"):
        yield "write", "g2/schemata", text
    yield from (("rmdir", "g2"), ("rmdir", "g1"), ("write", "tasks", "{A}\n"))


def _opened_again(group: str) -> Iterator[Operation]:
    """Write to open files that pseudo-locking has made inaccessible."""
    for name, text in (("tasks", "{A}\n"), ("cpus", "1\n"), ("cpus_list", "0\n")):
        yield "chmod", f"{group}/{name}", "644"
        yield "write", f"{group}/{name}", text
    yield "chmod", f"{group}/mon_groups", "755"
    yield "mkdir", f"{group}/mon_groups/m2"
    yield "rmdir", f"{group}/mon_groups/m2"


def _thresholds(_: Offer) -> Iterator[Operation]:
    path = "info/L3_MON/max_threshold_occupancy"
    texts = ("100000", "0", "-1", "x", "999999999999", "65535", "65536", "0x20000", "0200000", "", "+70000", " 5")
    sizes = ("4294967295", "43253760", "43253761", "50000000")
    yield from (("write", path, f"{text}\n") for text in (*texts, *sizes))
    yield "write", path, "131072"


def _running_out_of_rmids(_: Offer) -> Iterator[Operation]:
    """For a machine with six RMIDs: use all, and wait until a freed one leaves limbo."""
    yield from (("mkdir", f"mon_groups/m{number}") for number in range(6))
    yield from (("mkdir", "g1"), ("rmdir", "mon_groups/m0"), ("mkdir", "mon_groups/again"), ("mkdir", "g1"))
    yield from (("wait", "4"), ("mkdir", "mon_groups/again"), ("rmdir", "mon_groups/m1"))
    yield from (("wait", "4"), ("mkdir", "g1"))
    yield from (("mkdir", "g2"), ("rmdir", "mon_groups/again"))
    yield from (("rmdir", f"mon_groups/m{number}") for number in range(2, 5))
    yield from (("rmdir", "g1"), ("wait", "4"))


def _smba(_: Offer) -> Iterator[Operation]:
    """Limits in 1/8 GB/s."""
    yield "mkdir", "g1"
    for name in ("MB", "SMBA"):
        for value in ("0", "1", "8", "9", "2048", "2049", "-1", "x", "", "16;1=32", "16;0=8", "16;2=8"):
            yield "write", "g1/schemata", f"{name}:0={value}\n"
    yield "write", "g1/schemata", "SMBA:0=64\nMB:0=128\n"
    yield "rmdir", "g1"


EVENT_CONFIGS = (
    *("0=0x33;1=0x33\n", "0=33\n", "0=33;x=1\n", "0=zz\n", "0=80\n", "2=1\n", "0=33", "\n", "", "0\n", "=1\n", "0=\n"),
    *("0=7f;1=15\n", "0=0;\n", " 0=1 ; 1=2\n", "0=1\n\n", "0=100000000\n", "0=-1\n", "1=7f;0=7f\n"),
)


def _event_configs(_: Offer) -> Iterator[Operation]:
    """The events that can be configured (BMEC): while counters are assigned, they have no files."""
    yield "write", "info/L3_MON/mbm_local_bytes_config", "0=1\n"
    yield "write", "info/L3_MON/mbm_assign_mode", "default\n"
    for name in ("mbm_total_bytes_config", "mbm_local_bytes_config"):
        for text in EVENT_CONFIGS:
            yield "write", f"info/L3_MON/{name}", text
    yield "write", "info/L3_MON/mbm_local_bytes_config", "0=15;1=15\n"
    yield "write", "info/L3_MON/mbm_assign_mode", "mbm_event\n"


ASSIGNMENTS = (
    *("mbm_total_bytes:0=_\n", "mbm_total_bytes:0=e\n", "mbm_total_bytes:0=e\n", "mbm_total_bytes:*=_\n"),
    *("mbm_local_bytes:*=e\n", "mbm_local_bytes:0=_;1=_\n", "mbm_total_bytes:1=e;0=e\n", "mbm_total_bytes:2=e\n"),
    *(
        "mbm_total_bytes:0=x\n",
        "mbm_total_bytes:0=\n",
        "mbm_total_bytes:0\n",
        "mbm_total_bytes:=e\n",
        "mbm_total_bytes\n",
    ),
    *("mbm_total_bytes:\n", "llc_occupancy:0=e\n", "x:0=e\n", "\n", "", "mbm_total_bytes:0=_", ":0=e\n"),
    *("mbm_total_bytes:0=_\nmbm_local_bytes:0=_\n", "mbm_total_bytes:0=_\nx:0=e\n", "mbm_total_bytes:*\n"),
    *("mbm_total_bytes: 0=e ; 1=_ \n", "mbm_total_bytes:0 =e\n", "mbm_total_bytes:0= e\n", "mbm_total_bytes:0=ee\n"),
    *("mbm_total_bytes:*=_;0=e\n", "mbm_total_bytes:*x=_\n", "mbm_total_bytes:0=e;;1=e\n", "mbm_total_bytes:0=e;x=e\n"),
    *("mbm_total_bytes:0=_\n\n", "mbm_total_bytes:-1=e\n", "mbm_total_bytes:*=e\n", "mbm_local_bytes:*=e\n"),
)
ASSIGN_MODES = ("default\n", "mbm_event\n", "mbm_event", "x\n", "\n", "", "default\n", "Default\n", "mbm_event\n")
BOOLEANS = ("0\n", "1", "y", "No\n", "on\n", "off", "o\n", "x\n", "", "\n", "true\n", "2\n", "1\n")
FILTERS = (
    *(
        "local_reads,remote_reads\n",
        "local_reads",
        "\n",
        "",
        "x\n",
        "local_reads,x\n",
        " local_reads , remote_reads \n",
    ),
    *("local_reads,,remote_reads\n", "dirty_victim_writes_all\n", "local_reads,\n", "Local_reads\n"),
    *("local_reads,remote_reads,local_non_temporal_writes,remote_non_temporal_writes,local_reads_slow_memory\n",),
)
_FILTER = "info/L3_MON/event_configs/mbm_total_bytes/event_filter"


def _counters(_: Offer) -> Iterator[Operation]:
    """Counters that are assigned to groups; the machine has too few of them."""
    groups = ("g1", "g1/mon_groups/m1", "mon_groups/m0", "g2")
    yield from (("mkdir", group) for group in groups)
    yield "write", "g1/tasks", "{A}\n"
    yield "write", "g1/mon_groups/m1/tasks", "{A}\n"
    for text in ASSIGNMENTS:
        yield "write", "g1/mbm_L3_assignments", text
        yield "read", "g1/mon_data/mon_L3_00/mbm_total_bytes"
    for text in ("mbm_total_bytes:*=e\n", "mbm_total_bytes:*=_\n", "mbm_local_bytes:1=e\n"):
        yield "write", "g1/mon_groups/m1/mbm_L3_assignments", text
        yield "write", "mbm_L3_assignments", text
        for group in ("mon_data", "g1/mon_data", "g1/mon_groups/m1/mon_data", "g2/mon_data"):
            yield from (("read", f"{group}/mon_L3_01/{event}") for event in ("mbm_total_bytes", "mbm_local_bytes"))
    yield from (("rmdir", "g1"), ("write", "g2/mbm_L3_assignments", "mbm_total_bytes:*=e\n"), ("mkdir", "g1"))
    for text in BOOLEANS:
        yield "write", "info/L3_MON/mbm_assign_on_mkdir", text
    yield from (("write", "info/L3_MON/mbm_assign_on_mkdir", "0\n"), ("rmdir", "g2"), ("mkdir", "g2"))
    for text in FILTERS:
        yield "write", _FILTER, text
    for path in ("available_mbm_cntrs", "mbm_assign_on_mkdir", "event_configs", "num_mbm_cntrs"):
        yield "read", f"info/L3_MON/{path}"
        yield "write", f"info/L3_MON/{path}", "5\n"
    for text in ASSIGN_MODES:
        yield "write", "info/L3_MON/mbm_assign_mode", text
        yield "write", "g1/mbm_L3_assignments", "mbm_total_bytes:0=e\n"
        yield "write", "info/L3_MON/mbm_assign_on_mkdir", "1\n"
        yield "write", _FILTER, "local_reads\n"
        yield "mkdir", "g3"
        yield from (("read", "info/L3_MON/available_mbm_cntrs"), ("read", _FILTER), ("read", "g1/mbm_L3_assignments"))
        yield "read", "g1/mon_data/mon_L3_00/mbm_local_bytes"
        yield "rmdir", "g3"
    yield from (("rmdir", "g1"), ("rmdir", "g2"), ("rmdir", "mon_groups/m0"))
    for event in ("mbm_total_bytes", "mbm_local_bytes"):
        yield "write", "mbm_L3_assignments", f"{event}:*=e\n"


IO_MASKS = (
    *("0=c000\n", "0=f;1=f0\n", "*=ff\n", "*=f;0=1\n", "0=1;0=2\n", "0=1;*=2\n", "2=f\n", "x=f\n", "0\n", "=f\n"),
    *("0=\n", "0=g\n", "0=0\n", "0=5005\n", "0=1ffff\n", "0=f", "\n", "", ";\n", "0=f;\n", " 0=f\n", "0= f \n", "*\n"),
    *("*=0x3\n", "*=g\n", "0=f;2=1\n", "0=1\n0=2\n", "**=f\n"),
)


def _io_alloc(offer: Offer) -> Iterator[Operation]:
    """The ways that I/O devices fill."""
    switch, masks = (f"info/{offer.resource}/{name}" for name in ("io_alloc", "io_alloc_cbm"))
    yield from (("read", switch), ("read", masks), ("write", masks, "0=f\n"))
    for number in range(1, offer.closids):
        yield "mkdir", f"c{number}"
    yield from (("write", switch, "1\n"), ("rmdir", "c1"), ("write", switch, "1\n"), ("mkdir", "c1"))
    yield from (("rmdir", f"c{offer.closids - 1}"), ("write", switch, "1\n"), ("mkdir", "c2"), ("mkdir", "more"))
    for text in (*BOOLEANS, "enabled\n"):
        yield "write", switch, text
    for text in IO_MASKS:
        yield "write", masks, text
    yield from (("rmdir", f"c{number}") for number in range(2, offer.closids - 1))
    yield from _all_caches("schemata", offer, "f0")
    yield from _all_caches("c1/schemata", offer, "f00")
    yield from (("write", masks, "*=f00\n"), ("write", "c1/mode", "exclusive\n"), ("write", masks, "*=f\n"))
    yield from (("write", "c1/mode", "exclusive\n"), ("write", masks, "0=300\n"), ("write", masks, "0=f000\n"))
    yield from (("mkdir", "c2"), ("write", "c2/schemata", f"{offer.resource}:0=f00f\n"))
    yield from (("write", "c2/mode", "exclusive\n"), ("read", masks), ("write", switch, "0\n"), ("read", masks))
    yield from (("write", "c2/mode", "exclusive\n"), ("rmdir", "c2"), ("mkdir", "c2"), ("write", switch, "1\n"))
    yield from (("write", switch, "0\n"), ("rmdir", "c1"), ("rmdir", "c2"))
    yield from _all_caches("schemata", offer, offer.full)


PARTS: dict[str, Callable[[Offer], Iterator[Operation]]] = {
    "reading": _reading,
    "mkdir": _mkdir,
    "schemata": _schemata,
    "other-uses": _other_uses,
    "tasks": _tasks,
    "processes": _processes,
    "cpus": _cpus,
    "rmdir": _rmdir,
    "rename": _rename,
    "status": _status,
    "modes": _modes,
    "initial-masks": _initial_masks,
    "pseudo-locking": _pseudo_locking,
    "thresholds": _thresholds,
    "running-out": _running_out_of_rmids,
    "smba": _smba,
    "event-configs": _event_configs,
    "counters": _counters,
    "io-alloc": _io_alloc,
}
