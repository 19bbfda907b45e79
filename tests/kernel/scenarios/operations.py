"""One list of operations that a resctrl must answer alike, whether it is the kernel's or the simulated one.

``perform`` works on anything that implements the port. In a text, ``{A}``, ``{B}`` and ``{C}`` stand for the tids of
three processes.
"""

from collections.abc import Mapping

import msgspec

from cachetune.errors import ResctrlError
from cachetune.host import Resctrl

Operation = tuple[str, str, str]

SCHEMATA = [
    *("L3:0=f\n", "L3:0=0x3;1=F0\n", "  L3:0=7ff\n", "L3:0= 1f ;1=7ff\n", "L3:01=f;\n", "L3:1=7ff\nMB:0=100\n"),
    *("L3:0=f", "", "\n", "L3\n", "L3:\n", "L3:0\n", "L3:0=\n", "L3:0=0\n", "L3:0=5\n", "L3:0=800\n", "L3:0=g\n"),
    *("L3:7=f\n", "L3:x=f\n", "L3:-1=f\n", "L3:0=f;0=3\n", "L3:0=f;1=0\n", "L3:0=f\nL3:1=0\n", "L3:0=f\nL3:0=3\n"),
    *("L2:0=f\n", "l3:0=f\n", "L3CODE:0=f\n", "L3DATA:1=3\n", "# note\nL3:0=f\n", "L3:0=f\n\n", "L3:0=f\r\n"),
    *(
        "MB:0=50\n",
        "MB:0=11;1=99\n",
        "MB:0=9\n",
        "MB:0=101\n",
        "MB:0=ten\n",
        "MB:0=0x20\n",
        "MB:0= 20 \n",
        "MB:0=100;1=100\n",
    ),
    *("L3:0=7ff;1=7ff\n", "L3:0=f\nMB:0=5\n", "XX:0=1\nL3:0=f\n"),
]
TASKS = [
    *(
        ("a", "{A}\n"),
        ("a/mon_groups/m", "{A}\n"),
        ("b", "{A}\n"),
        ("a/mon_groups/m", "{A}\n"),
        ("mon_groups/n", "{A}\n"),
    ),
    *(("", "{A}\n"), ("mon_groups/n", "{A}\n"), ("a", "{B}"), ("a", " {C} \n"), ("a", "999999\n"), ("a", "-1\n")),
    *(("a", "text\n"), ("a", ""), ("a", "\n"), ("a", "{A},{B}\n"), ("a", "{A} {B}\n"), ("b", "{A}\n{B}\n")),
    *(("b", "{C},\n"), ("b", "99999999999\n"), ("b/mon_groups/k", "{B}\n")),
]
OPERATIONS: list[Operation] = [
    ("mkdir", "a", ""),
    ("mkdir", "a", ""),
    *(("write", "a/schemata", text) for text in SCHEMATA),
    ("write", "schemata", "L3:0=700;1=700\n"),
    ("mkdir", "b", ""),
    ("mkdir", "a/mon_groups/m", ""),
    ("mkdir", "mon_groups/n", ""),
    ("mkdir", "b/mon_groups/k", ""),
    *(
        ("mkdir", path, "")
        for path in ("a/x", "info/x", "mon_data/x", "mon_groups", "new\nline", "absent/x", "schemata")
    ),
    *(("write", f"{group}/tasks".lstrip("/"), text) for group, text in TASKS),
    ("write", "a/schemata", "L3:0=1;1=1\n"),
    ("write", "b/schemata", "L3:0=f0;1=f0\n"),
    ("write", "a/mode", "exclusive\n"),
    ("write", "b/schemata", "L3:0=1\n"),
    ("write", "a/schemata", "L3:0=f0\n"),
    ("mkdir", "after-exclusive", ""),
    ("rmdir", "after-exclusive", ""),
    *(("write", "a/mode", text) for text in ("pseudo-locked\n", "nonsense\n", "exclusive", "shareable\n")),
    ("write", "schemata", "L3:0=7ff;1=7ff\n"),
    ("write", "a/mode", "exclusive\n"),
    ("write", "b/cpus_list", "1\n"),
    ("write", "b/cpus_list", "9\n"),
    ("write", "b/cpus_list", "\n"),
    ("write", "a/size", "1\n"),
    ("write", "absent/schemata", "L3:0=f\n"),
    ("read", "absent/schemata", ""),
    *(("rmdir", path, "") for path in ("a/mon_groups/m", "info", "mon_groups", "a/mon_data", "absent", "a", "b")),
    *(("mkdir", f"c{number}", "") for number in range(1, 9)),
    *(("rmdir", f"c{number}", "") for number in range(1, 8)),
    ("rmdir", "mon_groups/n", ""),
]


class Answer(msgspec.Struct, frozen=True):
    """How one operation went: errno (0: done), info/last_cmd_status, and what every group then is.

    Tids are written as their letters.
    """

    errno: int
    last_cmd_status: str
    groups: dict[str, dict[str, str]]


def perform(fs: Resctrl, tids: Mapping[str, int]) -> list[Answer]:
    """Do all operations in order."""
    return [_answer(fs, operation, tids) for operation in OPERATIONS]


def _answer(fs: Resctrl, operation: Operation, tids: Mapping[str, int]) -> Answer:
    verb, path, text = operation
    number = 0
    try:
        if verb == "write":
            fs.write(path, text.format_map(tids))
        else:
            getattr(fs, verb)(path)
    except ResctrlError as error:
        number = error.errno
    return Answer(number, _lettered(fs.read("info/last_cmd_status"), tids), _groups(fs, tids))


def _lettered(text: str, tids: Mapping[str, int]) -> str:
    for letter, tid in tids.items():
        text = text.replace(str(tid), letter)
    return text


def _groups(fs: Resctrl, tids: Mapping[str, int]) -> dict[str, dict[str, str]]:
    known = set(fs.listdir("")) - {"info", "mon_data", "mon_groups"}
    control = ["", *(name for name in sorted(known) if fs.exists(f"{name}/tasks"))]
    monitor = [f"{group}/mon_groups".lstrip("/") for group in control]
    groups = [*control, *(f"{path}/{name}" for path in monitor for name in fs.listdir(path))]
    return {group or ".": _contents(fs, group, tids) for group in groups}


def _contents(fs: Resctrl, group: str, tids: Mapping[str, int]) -> dict[str, str]:
    found = {}
    for name in fs.listdir(group):
        if name in {"schemata", "size", "mode", "cpus", "cpus_list", "tasks"}:
            found[name] = fs.read(f"{group}/{name}".lstrip("/"))
    letters = {str(tid): letter for letter, tid in tids.items()}
    found["tasks"] = " ".join(sorted(letters[tid] for tid in found["tasks"].split() if tid in letters))
    return found
