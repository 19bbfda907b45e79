"""Random operations, determined by their source of randomness: mostly valid, some with plausible mistakes."""

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.conformance.operations import (
    ASSIGN_MODES,
    ASSIGNMENTS,
    BOOLEANS,
    EVENT_CONFIGS,
    FILTERS,
    IO_MASKS,
    Offer,
    Operation,
)

T = TypeVar("T")

CONTROL = ("a", "b", "c")
MONITOR = ("m", "n")
GROUPS = ("", *CONTROL, *(f"{group}/mon_groups/{name}".lstrip("/") for group in ("", *CONTROL) for name in MONITOR))
CONTROL_GROUPS = GROUPS[: 1 + len(CONTROL)]
MONITOR_GROUPS = GROUPS[1 + len(CONTROL) :]
ODD_PATHS = (
    *("", "info", "info/x", "info/L3", "mon_groups", "mon_groups/info", "mon_groups/x\ny", "mon_groups/m/x"),
    *("mon_data", "schemata", "tasks/x", "q/x", "a/x", "a\nb", "a/schemata", "a/mon_groups", "a/mon_groups/mon_groups"),
    *("a/mon_data/mon_L3_00", "a/mon_groups/m/mon_data"),
)
READ_ONLY = (
    "size",
    "a/size",
    "info/last_cmd_status",
    "info/L3/cbm_mask",
    "mon_data/mon_L3_00/llc_occupancy",
    "a",
    "no",
)
MASKS = (
    *("0", "5", "g", "", "0xf", "+3", " 7 ", "-1", "00003", "F", "600", "0x", "f\0z", "1 1", "3;", "f\t", "\v3"),
    *("0X1F", "\udca03"),
)
BANDWIDTHS = (
    *("10", "20", "55", "100", "5", "101", "0x20", "", "-1", "+30", " 40 ", "99", "4294967296", "11", "1e1", "070"),
)
RESOURCES = ("MB", "MB", "L3CODE", "L3DATA", "L3", "L2", "l3", "", "SMBA")
TIDS = (*("{A}", "{B}", "{C}", "{D}") * 2, "0", "999999", "-1", "abc", "", " {A} ", "{B}\n", "0x0", "+{C}", "{A} {B}")
CPU_LISTS = (
    *("0", "1", "0-1", "0,1", "", "x", "1-0", "0-9", "N", "all", "0-1:1/2", "0 1", ",0,", "0-N", "n", "0:1/1", "-1"),
    *("1-", "0\n1", "4294967296", "0\0z", "0x1", "0-1:2/1", "ALL", "0--1", "2-3", "3"),
)
CPU_MASKS = (
    *("0", "1", "2", "3", "", "00000003", "ff", "x", "0x1", "0,3", "1,0", "3,", "100000000", "000000003", " 1 ", "1 0"),
    *("z", "3\nq", "F", "0000000000000001", "c"),
)
MODES = (
    *("shareable", "exclusive", "pseudo-locksetup") * 2,
    *("pseudo-locked", "Shareable", "", "x", "exclusive ", " shareable", "shareable\0q"),
)
EXTRA_FILES = {
    "counters": (
        ("mbm_L3_assignments", ASSIGNMENTS),
        ("mbm_L3_assignments", ASSIGNMENTS),
        ("mbm_L3_assignments", ASSIGNMENTS),
        ("mon_data/mon_L3_01/mbm_total_bytes", ("",)),
        ("mon_data/mon_L3_00/mbm_local_bytes", ("",)),
        ("info/L3_MON/mbm_assign_mode", (*ASSIGN_MODES, "mbm_event\n", "mbm_event\n")),
        ("info/L3_MON/mbm_assign_on_mkdir", BOOLEANS),
        ("info/L3_MON/event_configs/mbm_local_bytes/event_filter", FILTERS),
    ),
    "io-alloc": (
        ("info/{resource}/io_alloc", (*BOOLEANS, "1\n", "1\n")),
        ("info/{resource}/io_alloc_cbm", IO_MASKS),
        ("info/{resource}/io_alloc_cbm", IO_MASKS),
    ),
    "event-configs": (("info/L3_MON/mbm_total_bytes_config", EVENT_CONFIGS),),
}
THRESHOLDS = ("0", "100000", "65536", "-1", "x", "16777216", "999999999999", "0x20000", "020000", " 5", "", "+70000")


def sequence(source: random.Random, length: int, offer: Offer) -> list[Operation]:
    """Create four groups, then ``length`` random operations chosen by ``source``: a seeded generator, or hypothesis."""
    chance = _Chance(source, offer)
    made = [("mkdir", group) for group in ("a", "b", "a/mon_groups/m", "mon_groups/n")]
    return [*made, *(chance.operation() for _ in range(length))]


class _Chance:
    def __init__(self, source: random.Random, offer: Offer) -> None:
        self._source, self._offer = source, offer

    def operation(self) -> Operation:
        kinds: list[Callable[[], Operation]] = [
            *(self._mkdir, self._rmdir, self._rename, self._schemata, self._tasks, self._cpus, self._mode, self._rest),
        ]
        weights = [14, 5, 9, 28, 16, 13, 11, 4]
        if self._offer.extra:
            kinds.append(self._extra)
            weights.append(30)
        return self._source.choices(kinds, weights)[0]()

    def _one(self, texts: Sequence[T]) -> T:
        return texts[int(self._source.random() * len(texts))]

    def _mostly(self, text: str, *others: str) -> str:
        return text if self._source.random() < 0.8 else self._one(others)

    def _path(self, usual: Sequence[str]) -> str:
        return self._one(usual) if self._source.random() < 0.8 else self._one(ODD_PATHS)

    def _mkdir(self) -> Operation:
        return "mkdir", self._path(GROUPS[1:])

    def _rmdir(self) -> Operation:
        return "rmdir", self._path(GROUPS[1:])

    def _rename(self) -> Operation:
        return "rename", self._path(MONITOR_GROUPS), self._path(MONITOR_GROUPS)

    def _schemata(self) -> Operation:
        lines = "\n".join(self._line() for _ in range(int(self._one("111223"))))
        return (
            "write",
            _file(self._one(CONTROL_GROUPS), "schemata"),
            lines + self._mostly("\n", "", "\n\n", "\r\n", " \n"),
        )

    def _line(self) -> str:
        name = self._one((*self._offer.resources, "L3") * 4 + RESOURCES)
        entries = ";".join(self._entry(name) for _ in range(int(self._one("1112230"))))
        return (
            self._one(("",) * 9 + (" ", "\t"))
            + name
            + self._mostly(":", ":", "", "::")
            + entries
            + self._mostly("", ";")
        )

    def _entry(self, name: str) -> str:
        cache = self._mostly(str(int(self._source.random() * self._offer.caches)), "9", "x", "", "01", "+1", " 0", "-0")
        value = self._one(BANDWIDTHS) if "MB" in name else self._mask()
        return self._mostly(
            f"{cache}={value}", f"{cache}={value}", f"{cache}={value}", cache, value, f"{cache}=={value}"
        )

    def _mask(self) -> str:
        if self._source.random() < 0.35:
            return self._one((*MASKS, f"{(1 << self._offer.ways) - 1:x}", f"{1 << self._offer.ways:x}"))
        length = 1 + int(self._source.random() * 4)
        return f"{(1 << length) - 1 << int(self._source.random() * (self._offer.ways - length + 1)):x}"

    def _tasks(self) -> Operation:
        tids = ",".join(self._one(TIDS) for _ in range(int(self._one("11112230"))))
        return (
            "write",
            _file(self._one(GROUPS), "tasks"),
            tids + self._mostly("\n", "", ",", " ", ",\n", "\n\n", "\0x\n"),
        )

    def _cpus(self) -> Operation:
        name, texts = ("cpus_list", CPU_LISTS) if self._source.random() < 0.5 else ("cpus", CPU_MASKS)
        return "write", _file(self._one(GROUPS), name), self._one(texts) + self._mostly("\n", "")

    def _mode(self) -> Operation:
        return "write", _file(self._one(CONTROL_GROUPS), "mode"), self._one(MODES) + self._mostly("\n", "", "\n\n")

    def _extra(self) -> Operation:
        """Write to a file that only some processors have."""
        path, texts = self._one([file for part in self._offer.extra for file in EXTRA_FILES.get(part, ())])
        if path.startswith("mon_data"):
            return "read", _file(self._one(GROUPS), path)
        if path == "mbm_L3_assignments":
            path = _file(self._one(GROUPS), path)
        return "write", path.format(resource=self._offer.resource), self._one(texts)

    def _rest(self) -> Operation:
        if self._source.random() < 0.5:
            return "write", self._one(READ_ONLY), "1\n"
        return "write", "info/L3_MON/max_threshold_occupancy", self._one(THRESHOLDS) + self._mostly("\n", "")


def _file(group: str, name: str) -> str:
    return f"{group}/{name}".lstrip("/")
