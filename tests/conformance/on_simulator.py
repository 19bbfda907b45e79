"""Run the operations on a simulated kernel; ``on_files`` describes the answers."""

import errno
from contextlib import AbstractContextManager  # noqa: TC003 - the rule does not see the attribute's annotation

from cachetune.errors import ResctrlError
from cachetune.sim import SimulatedResctrl
from cachetune.sim.kernel.nodes import Directory, walk
from tests.conformance.answers import NOT_COMPARED, Answer, Tree
from tests.conformance.configurations import Configuration
from tests.conformance.on_files import COUNTERS, FIRST_TID, KTHREADD, SLEEPERS, STATUS, word_of
from tests.conformance.operations import ONLY_FILES, Operation

OPERATION_SECONDS = 0.05
"""About what an operation takes in the virtual machine: freed RMIDs rest for a while."""


class Simulator:
    """A simulated resctrl in this configuration, and the tids of the processes."""

    def __init__(self, configuration: Configuration) -> None:
        self._now = 0.0
        self.tids = {"W": FIRST_TID} | {name: FIRST_TID + at for at, name in enumerate(SLEEPERS, start=1)}
        self.tids["K"] = KTHREADD
        self.fs = SimulatedResctrl(
            configuration.profile, kernel=configuration.kernel, clock=lambda: self._now, writer=FIRST_TID
        )
        for tid in self.tids.values():
            self.fs.add_task(tid)
        self._locks: dict[str, AbstractContextManager[None]] = {}

    def answers(self, operations: list[Operation]) -> tuple[Tree, list[Answer]]:
        """Return the initial tree and the answer to each operation."""
        first = last = self.tree()
        answers = []
        for operation in operations:
            result, status, now = self.do(operation), self.named(self.fs.read(STATUS)), self.tree()
            changes: dict[str, str | None] = {path: None for path in last if path not in now}
            changes |= {path: text for path, text in now.items() if last.get(path) != text}
            answers.append(Answer(result, status, changes))
            last = now
        return first, answers

    def do(self, operation: Operation) -> str:
        """Run one operation as ``on_files`` does, or return that the simulator does not support it."""
        kind, *words = operation
        if kind in ONLY_FILES:
            return NOT_COMPARED
        try:
            self._now += OPERATION_SECONDS
            result: str | None = getattr(self, f"_{kind}")(*words)
        except ResctrlError as error:
            return errno.errorcode[error.errno]
        return result or "ok"

    def named(self, text: str) -> str:
        """Replace tids in the text by the names of their processes."""
        for name, tid in self.tids.items():
            if tid >= FIRST_TID:
                text = text.replace(str(tid), f"{{{name}}}")
        return text

    def tree(self) -> Tree:
        """Return every path with permissions and content, as ``on_files`` does."""
        found = {}
        for path, node in walk(self.fs.root):
            mode, name = f"{node.mode:o}", path.rpartition("/")[2]
            if isinstance(node, Directory):
                found[f"{path}/"] = mode
            elif name in COUNTERS or path == STATUS:
                found[path] = mode
            else:
                found[path] = f"{mode} {self._content(path, name)}"
        return found

    def _content(self, path: str, name: str) -> str:
        try:
            text = self.fs.read(path)
        except ResctrlError as error:
            return f"<{errno.errorcode[error.errno]}>"
        if name == "tasks":
            there = set(text.split())
            return " ".join(sorted(name for name, tid in self.tids.items() if str(tid) in there))
        return text

    # -- the operations -----------------------------------------------------------------------------------------

    def _mkdir(self, path: str, mode: str = "755") -> None:
        self.fs.mkdir(path, int(mode, 8))

    def _rmdir(self, path: str) -> None:
        self.fs.rmdir(path)

    def _rename(self, old: str, new: str) -> None:
        self.fs.rename(old, new)

    def _read(self, path: str) -> str | None:
        return word_of(path, self.fs.read(path))

    def _list(self, path: str) -> None:
        self.fs.listdir(path)

    def _write(self, path: str, *texts: str) -> None:
        for number, text in enumerate(texts, start=1):
            try:
                self.fs.write(path, text.format_map(self.tids) if "{" in text else text)
            except ResctrlError:
                if number == len(texts):
                    raise

    def _append(self, path: str, text: str) -> None:
        self._write(path, text)

    def _chmod(self, path: str, mode: str) -> None:
        self.fs.chmod(path, int(mode, 8))

    def _lock(self, path: str) -> None:
        self.fs.stat_mode(path)
        self._locks[path] = self.fs.lock(exclusive=True, timeout=0)
        self._locks[path].__enter__()

    def _unlock(self, path: str) -> None:
        if path not in self._locks:
            raise ResctrlError(errno.EBADF, "unlock", path)
        self._locks.pop(path).__exit__(None, None, None)

    def _fork(self, name: str) -> None:
        self.tids[name] = max(self.tids.values()) + 1
        self.fs.add_task(self.tids[name], parent=self.tids["W"])

    _thread = _fork

    def _kill(self, _name: str) -> None:
        """A zombie is still a task."""

    def _reap(self, name: str) -> None:
        self.fs.end_task(self.tids[name])

    def _wait(self, seconds: str) -> None:
        self._now += float(seconds)
