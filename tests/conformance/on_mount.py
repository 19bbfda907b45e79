"""Run the operations through the mount: ``on_files`` makes the same system calls as on the real kernel.

The mount and the processes are in their own pid namespace, where tids can be those of the real kernel: process 2 sleeps
in place of kthreadd, and ``on_files`` chooses the others. The mount and all processes end with the namespace.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests import waiting
from tests.conformance import on_files
from tests.conformance.answers import Answer, Record, Tree, decode_answers
from tests.conformance.configurations import Configuration
from tests.conformance.operations import Operation

ROOT = Path(__file__).parents[2]
FUSE_NAME_BYTES = 1024
PATH_BYTES = 4000

INSTEAD = {
    "empty write, refused": (
        "left out",
        "the machine's kernel answers it with 0 without asking the file system",
    ),
    "empty write, accepted": ("a write of a newline, which Linux treats the same way", "the same"),
    "name of 1025 to 4000 bytes": ("a name a quarter as long", "some kernels limit FUSE to 1024"),
}
"""What FUSE cannot carry: what is done in its place, and why."""


class MountError(Exception):
    """The operations could not run; the message is the output."""


def answers(configuration: Configuration, operations: list[Operation]) -> tuple[Tree, list[Answer]]:
    """Return the initial tree and the answer to each operation. Raises MountError."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "profile.json").write_bytes(msgspec.json.encode(configuration.profile))
        (directory / "operations.json").write_text(json.dumps(operations), encoding="ascii")
        done = in_namespace(sys.executable, "-m", "tests.conformance.on_mount", name, configuration.kernel)
    if done.returncode:
        raise MountError(done.stderr)
    return decode_answers(done.stdout.partition("\n")[2])


def in_namespace(*program: str) -> subprocess.CompletedProcess[str]:
    """Run a program as process 1 with its own /proc; an unprivileged user is root there."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["/usr/bin/unshare", *as_root, "--pid", "--fork", "--kill-child", "--mount-proc", "--", *program]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return waiting.run(command, env=environment, capture_output=True, text=True)


def carried(record: Record) -> Record:
    """Return the record as FUSE can carry it; see INSTEAD."""
    kept = [pair for pair in zip(record.operations, record.answers, strict=True) if _kind(*pair) not in _LEFT_OUT]
    text = json.dumps([(_with_bytes(operation), answer) for operation, answer in kept])
    rows = json.loads(re.sub("n+", lambda found: _shortened(found[0]), text))
    return record._replace(
        operations=[tuple(operation) for operation, _ in rows], answers=[Answer(*answer) for _, answer in rows]
    )


def not_carried(record: Record) -> Iterator[str]:
    """Return the key in INSTEAD for each operation that FUSE cannot carry."""
    kinds = (_kind(*pair) for pair in zip(record.operations, record.answers, strict=True))
    return (kind for kind in kinds if kind)


_LEFT_OUT = {"empty write, refused"}


def _kind(operation: Operation, answer: Answer) -> str:
    if operation[0] == "write" and operation[2:] == ("",):
        return "empty write, accepted" if answer.result == "ok" else "empty write, refused"
    is_long = any(FUSE_NAME_BYTES < len(name) <= PATH_BYTES for word in operation[1:2] for name in word.split("/"))
    return "name of 1025 to 4000 bytes" if is_long else ""


def _with_bytes(operation: Operation) -> Operation:
    return (*operation[:2], "\n") if operation[0] == "write" and operation[2:] == ("",) else operation


def _shortened(name: str) -> str:
    return name[: len(name) // 4] if FUSE_NAME_BYTES < len(name) <= PATH_BYTES else name


def main() -> None:
    """As process 1: mount, and run the operations."""
    if on_files.sleeper() != on_files.KTHREADD:
        sys.exit("this is not process 1 of a new pid namespace")
    directory, kernel = Path(sys.argv[1]), sys.argv[2]
    root = directory / "resctrl"
    root.mkdir()
    words = ["--profile", f"{directory}/profile.json", "--kernel", kernel, "--run", f"{directory}/run", "--background"]
    mount = [sys.executable, "-m", "cachetune.cli.main", "sim", "mount", str(root), *words]
    subprocess.run(mount, check=True, stdout=subprocess.DEVNULL)
    program = [sys.executable, "-I", "-S", on_files.__file__, str(root), f"{directory}/operations.json"]
    sys.exit(subprocess.run(program, check=False).returncode)


if __name__ == "__main__":
    main()
