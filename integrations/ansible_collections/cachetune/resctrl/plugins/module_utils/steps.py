"""The steps of a plan or a report as text for ``--diff``: what the groups have before and after."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_Key = tuple[str, str]  # the path of a group, and what of it: "L3:0", "mode", or "" for the group


def difference(steps: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """``before`` and ``after`` of what the steps change, a line for each value; groups by path."""
    changes = _Changes()
    for step in steps:
        changes.take(step)
    return {
        "before_header": "resctrl",
        "after_header": "resctrl",
        "before": changes.text(0),
        "after": changes.text(1),
    }


class _Changes:
    """Each value with what it is before the first step and after the last one; None is absent."""

    def __init__(self) -> None:
        self._values: dict[_Key, tuple[str | None, str | None]] = {}
        self._tasks: dict[int, tuple[str, str]] = {}

    def take(self, step: Mapping[str, Any]) -> None:
        kind, path = step.get("kind"), str(step.get("path"))
        if kind == "create_group":
            self._set(path, "", None, "exists")
        elif kind == "write_schemata":
            old = dict(_entries(str(step.get("before"))))
            for name, value in _entries(str(step.get("after"))):
                self._set(path, name, old.get(name), value)
        elif kind == "write_file":
            file = PurePosixPath(path)
            self._set(str(file.parent), file.name, str(step.get("before")), str(step.get("after")))
        elif kind == "move_tasks":
            for tid in step.get("tids") or ():
                first = self._tasks.get(tid, (str(step.get("from")), ""))[0]
                self._tasks[tid] = first, path
        elif kind == "remove_group":
            self._set(path, "", "exists", None)
            for name, value in _entries(str(step.get("schemata") or "")):
                self._set(path, name, value, None)

    def _set(self, path: str, name: str, before: str | None, after: str | None) -> None:
        first = self._values.get((path, name), (before, None))[0]
        self._values[path, name] = first, after

    def text(self, side: int) -> str:
        lines: dict[str, list[str]] = {}
        for (path, name), values in sorted(self._values.items()):
            if values[side] is not None and values[0] != values[1]:
                lines.setdefault(path, []).append(f"{name}={values[side]}" if name else "exists")
        for tid, places in sorted(self._tasks.items()):
            if places[0] != places[1]:
                lines.setdefault(places[side], []).append(f"task {tid}")
        return "".join(f"{path} {each}\n" for path, each_of in sorted(lines.items()) for each in each_of)


def _entries(schemata: str) -> Iterator[tuple[str, str]]:
    """The entries of "L3:0=07f;1=7ff": ("L3:0", "7f") and ("L3:1", "7ff"), without padding."""
    for line in schemata.splitlines():
        resource, values = line.strip().partition(":")[::2]
        for each in values.split(";"):
            name, value = each.partition("=")[::2]
            yield f"{resource}:{name.strip()}", value.strip().lstrip("0") or "0"
