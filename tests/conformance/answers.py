"""The answers of kernels: as values, in record files, and compared.

A record is gzip-compressed lines of JSON: the kernel's release and the initial tree, then ``[operation, result,
last_cmd_status, changes]`` for each operation. It uses the standard library's JSON, because names may not be UTF-8.
"""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.conformance.operations import Operation

Tree = dict[str, str]
NOT_COMPARED = "-"
"""In place of a result, where the simulator has no such operation."""


class Answer(NamedTuple):
    """The answer to one operation: "ok" or the errno's name, info/last_cmd_status, and the changes in the tree."""

    result: str
    last_cmd_status: str
    changes: dict[str, str | None]


class Record(NamedTuple):
    """The answers of one kernel. ``first`` is the initial tree."""

    release: str
    first: Tree
    operations: list[Operation]
    answers: list[Answer]


def decode_answers(text: str) -> tuple[Tree, list[Answer]]:
    """Parse the output of ``on_files``."""
    first, *rows = [json.loads(line) for line in text.splitlines()]
    return first, [Answer(*row) for row in rows]


def save(record: Record, path: Path) -> None:
    """Write a record. The same record gives the same bytes."""
    rows = [[record.release, record.first]]
    rows += [[operation, *answer] for operation, answer in zip(record.operations, record.answers, strict=True)]
    lines = "".join(json.dumps(row, separators=(",", ":"), sort_keys=True) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(lines.encode("ascii"), mtime=0))


def load(path: Path) -> Record:
    """Read a record."""
    head, *rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    release, first = head
    return Record(release, first, [tuple(row[0]) for row in rows], [Answer(*row[1:]) for row in rows])


def differences(real: Record, first: Tree, answers: Sequence[Answer]) -> list[str]:
    """Return a line for each difference, in the initial tree or in the answer to an operation."""
    found = [f"at first: {line}" for line in _paths(real.first, first)]
    for number, (operation, theirs, ours) in enumerate(zip(real.operations, real.answers, answers, strict=True)):
        parts = [f"{theirs.result} became {ours.result}"] if ours.result not in {theirs.result, NOT_COMPARED} else []
        if theirs.last_cmd_status != ours.last_cmd_status:
            parts.append(f"says {theirs.last_cmd_status!r} became {ours.last_cmd_status!r}")
        parts += _paths(theirs.changes, ours.changes)
        if parts:
            found.append(f"{number} {operation!r}: " + "; ".join(parts))
    return found


def _paths(real: dict[str, str | None] | Tree, simulated: dict[str, str | None] | Tree) -> list[str]:
    return [
        f"{path}: {real.get(path, '(as before)')!r} became {simulated.get(path, '(as before)')!r}"
        for path in sorted(real.keys() | simulated.keys())
        if real.get(path, "(as before)") != simulated.get(path, "(as before)")
    ]
