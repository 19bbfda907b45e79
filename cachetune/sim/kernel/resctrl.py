"""The simulated resctrl: the rules of Linux in memory, behind the same port as the real files.

The rules:

- The root is the default group. mkdir in it creates a control group, which takes a CLOSID and, with monitoring, an
  RMID. mkdir in a ``mon_groups`` creates a monitor group, which takes an RMID. mkdir anywhere else fails with EPERM.
  The number of CLOSIDs is that of the resource with the fewest. mkdir without a free CLOSID or RMID fails with ENOSPC,
  or with EBUSY while freed RMIDs are in limbo.
- A new group may use all bits that no exclusive group has (their lowest contiguous run) until its schemata is written.
  rmdir works on groups with tasks, CPUs and monitor groups: they go to the parent, or to the default group for a
  control group.
- A write is one command. Either all of it is checked, then applied (schemata), or it is applied from left to right up
  to the first error (tasks in 6.12). Some commands clear info/last_cmd_status first, and all append to it. Not every
  failure has a message: a missing final newline, an unknown cache id and EPERM leave the file as it was.
- A task and a CPU are in exactly one control group. A monitor group only accepts tasks and CPUs of its control group.

The reference is what kernels 6.1, 6.12, 6.18 and 7.3 answered, and their sources where nothing was recorded.
``KernelRules`` lists the differences. All operations may be called from several threads.
"""

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from cachetune.errors import InputError, ResctrlError
from cachetune.host.resctrl.hints import hint_for
from cachetune.host.resctrl.port import OnWait, OpenFile, in_silence
from cachetune.sim.faults import MUTATING, Fault, Kind, Operation
from cachetune.sim.kernel import groups, tree
from cachetune.sim.kernel.flock import Flock
from cachetune.sim.kernel.nodes import Directory, File, LookupFailedError, Node, find, split, walk
from cachetune.sim.kernel.state import RefusedError, State
from cachetune.sim.profile import Profile
from cachetune.sim.rules import rules_of
from cachetune.sim.workloads import ThreadName, Workload, WorkloadEntry, Workloads

PAGE_BYTES = 4096
_VALUE_BYTES = 64
PATH_BYTES = 4095 - len("/sys/fs/resctrl/")
_ACTIONS = {"listdir": "list", "exists": "look at"}


class SimulatedResctrl:
    """The Resctrl port on a profile. The module's docstring has the rules.

    ``kernel`` None is the profile's. ``clock`` returns seconds; counters and limbo depend on it. ``writer`` is the tid
    that ``0`` means in a tasks file, and the only task at first. ``workloads`` are what tasks do to the caches; ``run``
    adds to them. ``operations`` logs all attempts to change something,
    failed ones too. ``before_operation`` is called before each of them and may use this object freely: those calls are
    neither logged nor made to fail. The ``kernel_says`` of an error is this operation's message, not an earlier text in
    last_cmd_status.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        kernel: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        writer: int = 1,
        workloads: Sequence[WorkloadEntry] = (),
    ) -> None:
        kernel = kernel or profile.kernel
        if profile.vendor == "arm" and not rules_of(kernel).arm:
            raise InputError(f"kernel {kernel} has no resctrl on Arm", hint="simulate kernel 7.3")
        profile = profile.mounted(*profile.mount_options, kernel=kernel)
        self.profile, self.kernel = profile, kernel
        self.source = f"sim:{profile.name}"
        self.mount_options = profile.mount_options
        self.topology = profile.topology
        self.operations: list[Operation] = []
        self.before_operation: Callable[[Operation], None] | None = None
        self.state = State(profile, rules_of(kernel), clock, writer, Workloads(workloads))
        self.root = tree.make_root(self.state)
        self._mutex = threading.RLock()
        self._inside_hook = threading.local()
        self._faults: list[Fault] = []
        self._flock = Flock(self.source)
        self.add_task(writer)

    # -- the port -----------------------------------------------------------------------------------------------

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        with self._operation(Operation("listdir", _clean(path))):
            node = find(self.root, split(path))
            if isinstance(node, File):
                raise RefusedError(errno.ENOTDIR)
            return sorted(node.entries)

    def read(self, path: str) -> str:
        """Return the content of a file."""
        with self._operation(Operation("read", _clean(path))):
            node = self._file(path)
            if not node.mode & 0o444:
                raise RefusedError(errno.EACCES)
            self._look_up(self._parent(path)[0])
            return _to_text(node.read())

    @property
    def is_current(self) -> bool:
        """Nothing can be mounted over it."""
        return True

    def count_directories(self, path: str) -> int:
        """The number of directories in a directory."""
        with self._operation(None, path):
            node = find(self.root, split(path))
            return (
                sum(isinstance(entry, Directory) for entry in node.entries.values())
                if isinstance(node, Directory)
                else 0
            )

    def open(self, path: str) -> OpenFile:
        """A file to read again and again."""
        with self._operation(Operation("read", _clean(path))):
            node = self._file(path)

        def read() -> bytes:
            try:
                if find(self.root, split(path)) is node:
                    return self.read(path).encode("utf-8", "surrogateescape")[:_VALUE_BYTES]
            except LookupFailedError:
                pass
            except ResctrlError as error:
                raise OSError(error.errno, os.strerror(error.errno)) from None
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

        return OpenFile(read, lambda: None)

    def write(self, path: str, text: str) -> None:
        """Write the whole text with one write(2)."""
        data = text.encode("utf-8", "surrogateescape")
        with self._operation(Operation("write", _clean(path), text)):
            node = self._file(path)
            if not node.mode & 0o222 or node.write is None:
                raise RefusedError(errno.EACCES)
            if len(data) > PAGE_BYTES:
                raise RefusedError(errno.E2BIG)
            directory, _ = self._parent(path)
            self._look_up(directory)
            before = directory.group and directory.group.mode
            node.write(data.decode("latin-1"))
            if directory.group and directory.group.mode != before:
                tree.follow_mode(directory, directory.group)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Create a group."""
        with self._operation(Operation("mkdir", _clean(path))):
            parent, name = self._parent(path)
            if name == "" or name in parent.entries:
                raise RefusedError(errno.EEXIST)
            parent.entries[name] = groups.make(self.state, parent, name, mode)

    def rmdir(self, path: str) -> None:
        """Remove a group. Its tasks and CPUs go to its parent."""
        with self._operation(Operation("rmdir", _clean(path))):
            parts = split(path)
            node = find(self.root, parts)
            if isinstance(node, File):
                raise RefusedError(errno.ENOTDIR)
            if not parts:
                raise RefusedError(errno.EBUSY)
            self._look_up(node)
            if node.role != "group" or node.group is None:
                raise RefusedError(errno.EPERM)
            groups.remove(self.state, node.group)
            del self._parent(path)[0].entries[parts[-1]]

    def exists(self, path: str) -> bool:
        """Whether there is a file or directory at the path."""
        with self._operation(Operation("exists", _clean(path))):
            try:
                find(self.root, split(path))
            except LookupFailedError:
                return False
            return True

    def lock(
        self, *, exclusive: bool, timeout: float, on_wait: OnWait = in_silence, holder: int | None = None
    ) -> AbstractContextManager[None]:
        """Take the flock on the root directory. ``holder`` is the pid in the LockTimeoutError of others.

        Raises LockTimeoutError after ``timeout`` seconds.
        """
        with self._operation(Operation("lock", "")):
            return self._flock.hold(exclusive=exclusive, timeout=timeout, holder=holder, on_wait=on_wait)

    # -- beyond the port ----------------------------------------------------------------------------------------

    def rename(self, old: str, new: str) -> None:
        """Rename a monitor group or move it to another control group, with its tasks (6.12)."""
        with self._operation(Operation("rename", _clean(old), target=_clean(new))):
            groups.rename(self.state, self.root, split(old), split(new))

    def stat_mode(self, path: str) -> int:
        """Return the type and permission bits, as in st_mode."""
        with self._operation(None, path):
            node = find(self.root, split(path))
            kind = stat.S_IFDIR if isinstance(node, Directory) else stat.S_IFREG
            return kind | node.mode

    def chmod(self, path: str, mode: int) -> None:
        """Change the permission bits of a file or directory."""
        with self._operation(None, path):
            find(self.root, split(path)).mode = mode

    def tree(self) -> dict[str, str]:
        """Return every path and its content, except counters and last_cmd_status. Directories end with "/".

        A file that cannot be read now has the errno's name in angle brackets. Nothing is changed by this.
        """
        found: dict[str, str] = {}
        with self._mutex, self.state.status.kept():
            for path, node in walk(self.root):
                if isinstance(node, Directory):
                    found[f"{path}/"] = ""
                elif path != "info/last_cmd_status" and not node.counter:
                    found[path] = _content(node)
        return found

    def add_task(self, tid: int, parent: int | None = None) -> None:
        """Start a thread in the groups of its parent, or in the default group."""
        with self._mutex:
            self.state.place(tid, self.state.tasks[parent] if parent is not None else self.state.root)

    def end_task(self, tid: int) -> None:
        """End a thread."""
        with self._mutex:
            self.state.drop(tid)

    def run(self, name: str, workload: Workload, tids: Iterable[int]) -> None:
        """Let threads run a workload together, in place of what they or this name ran before."""
        with self._mutex:
            self.state.counters.change()
            self.state.workloads.run(name, workload, tids)

    def name_threads(self, threads: Mapping[int, ThreadName]) -> None:
        """Let the threads of guests run what the workloads say about these names."""
        with self._mutex:
            known = {tid: name for tid, name in threads.items() if tid in self.state.tasks}
            for name, (workload, tids) in self.state.workloads.plan_of(known).items():
                if not self.state.workloads.is_running(name, tids):
                    self.run(name, workload, tids)

    def set_counter(self, path: str, cache_id: int, event: str, value: int | str) -> None:
        """Make an event of a group read as this number, or as a text such as ``Unavailable``."""
        with self._operation(None, path):
            node = find(self.root, split(path))
            if isinstance(node, File) or node.group is None:
                raise RefusedError(errno.ENOENT)
            self.state.counters.put(node.group, cache_id, event, value)

    def fail(
        self,
        number: int,
        *,
        at: int = 1,
        operation: Kind | None = None,
        path: str | None = None,
        after: bool = False,
        times: int = 1,
        kernel_says: str | None = None,
    ) -> None:
        """Make the ``at``-th operation from now (1 is the next) fail with this errno.

        ``operation`` None counts all that change something; ``path`` counts only operations on it. With ``after`` the
        operation still takes effect. ``times`` operations fail. ``kernel_says`` replaces last_cmd_status.
        """
        wanted = None if path is None else _clean(path)
        self.add_fault(Fault(number, at, operation, wanted, after, times, kernel_says))

    def add_fault(self, fault: Fault) -> None:
        """Add a fault, as returned by ``parse_fault``."""
        self._faults.append(fault)

    # -- how operations run -------------------------------------------------------------------------------------

    @contextmanager
    def _operation(self, operation: Operation | None, path: str = "") -> Iterator[None]:
        shown = Operation("read", _clean(path)) if operation is None else operation
        fault = self._announce(operation) if operation is not None else None
        with self._mutex:
            self.state.status.begin()
            try:
                if fault and not fault.after:
                    self._strike(fault)
                _check_length(shown.path)
                yield
                if fault:
                    self._strike(fault)
            except (RefusedError, LookupFailedError) as error:
                raise self._error(error.errno, shown) from None

    def _announce(self, operation: Operation) -> Fault | None:
        """Call the hook, log the operation, and return the fault that applies to it."""
        if getattr(self._inside_hook, "yes", False):
            return None
        if operation.kind in MUTATING:
            if self.before_operation is not None:
                self._inside_hook.yes = True
                try:
                    self.before_operation(operation)
                finally:
                    self._inside_hook.yes = False
            self.operations.append(operation)
        struck = [fault for fault in self._faults if fault.strikes(operation)]
        return struck[0] if struck else None

    def _strike(self, fault: Fault) -> None:
        if fault.kernel_says is not None:
            self.state.status.clear()
            self.state.status.append(fault.kernel_says + "\n" if fault.kernel_says else "")
        raise RefusedError(fault.errno)

    def _error(self, number: int, operation: Operation) -> ResctrlError:
        says = _to_text(self.state.status.message)
        action, path = _ACTIONS.get(operation.kind, operation.kind), operation.path or "."
        hint = hint_for(number, action, path, says, operation.text, live=True)
        return ResctrlError(number, action, path, written=operation.text, kernel_says=says, hint=hint)

    def _look_up(self, directory: Directory) -> None:
        """Find the group that a directory belongs to, as the kernel does before any work on one of its files."""
        if directory.group is not None and self.state.rules.lookup_clears_status:
            self.state.status.clear()

    def _file(self, path: str) -> File:
        node = find(self.root, split(path))
        if isinstance(node, Directory):
            raise RefusedError(errno.EISDIR)
        return node

    def _parent(self, path: str) -> tuple[Directory, str]:
        """Return the directory of a path and its last name, which is "" for the root."""
        parts = split(path)
        if not parts:
            return self.root, ""
        node: Node = find(self.root, parts[:-1])
        if isinstance(node, File):
            raise RefusedError(errno.ENOTDIR)
        return node, parts[-1]


def _check_length(path: str) -> None:
    if len(path.encode("utf-8", "surrogateescape")) > PATH_BYTES:
        raise RefusedError(errno.ENAMETOOLONG)


def _content(file: File) -> str:
    try:
        return _to_text(file.read())
    except RefusedError as error:
        return f"<{errno.errorcode[error.errno]}>"


def _clean(path: str) -> str:
    return "/".join(split(path))


def _to_text(raw: str) -> str:
    return raw.encode("latin-1", "replace").decode("utf-8", "surrogateescape")
