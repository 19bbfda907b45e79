"""Read a host again and again: a new ``Host`` is made only if a file says something else than the last time.

``read_host`` asks its ``Resctrl`` for lists and contents, and the answers determine the host. So the next time it
puts the same questions, in the same order, and if each has the same answer, it is the same host. What a machine has
below /sys/devices does not change while the same CPUs are online.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Literal, cast

from cachetune.errors import ResctrlError
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.resctrl.port import Resctrl
from cachetune.host.sysfs import Machine, read_machine

_Question = tuple[Literal["list", "read", "exists"], str]
_Answer = list[str] | str | bool | tuple[int, str]


class RememberedHost:
    """Reads one host as ``read_host`` does; a host that is as it was is the same object."""

    def __init__(self) -> None:
        self._answers: dict[_Question, _Answer] = {}
        self._given: tuple[object, ...] = ()
        self._host: Host | None = None
        self._machine: tuple[tuple[object, ...], Machine] | None = None

    def read(self, fs: Resctrl, sysfs: Path | None = None, owned: Collection[str] = ()) -> Host:
        """Read the host. Raises as ``read_host`` does."""
        given = (fs.source, fs.mount_options, fs.topology, sysfs, frozenset(owned), self._online(sysfs))
        answering = _Answering(fs)
        same = given == self._given and all(answering.answer(q) == old for q, old in self._answers.items())
        if self._host is not None and same:
            return self._host
        self._host = None
        self._host = read_host(cast("Resctrl", answering), sysfs, owned, self._machine_of)
        self._answers, self._given = answering.answers, given
        return self._host

    def _machine_of(self, sysfs: Path, levels: Collection[int]) -> Machine:
        online = self._online(sysfs)
        key = (sysfs, frozenset(levels), online)
        if self._machine is None or not online or self._machine[0] != key:
            self._machine = key, read_machine(sysfs, levels)
        return self._machine[1]

    def _online(self, sysfs: Path | None) -> str:
        """The CPUs that are online, as the kernel lists them; "" if it does not say."""
        try:
            return (sysfs / "devices/system/cpu/online").read_text(errors="replace") if sysfs else ""
        except OSError:
            return ""


class _Answering:
    """A ``Resctrl`` to read from, which asks each question once and keeps the answer. An error is an answer, too."""

    def __init__(self, fs: Resctrl) -> None:
        self._fs = fs
        self.source, self.mount_options, self.topology = fs.source, fs.mount_options, fs.topology
        self.answers: dict[_Question, _Answer] = {}
        self._errors: dict[_Question, ResctrlError] = {}

    def listdir(self, path: str) -> list[str]:
        return cast("list[str]", self._told(("list", path)))

    def read(self, path: str) -> str:
        return cast("str", self._told(("read", path)))

    def exists(self, path: str) -> bool:
        return cast("bool", self._told(("exists", path)))

    def answer(self, question: _Question) -> _Answer:
        """The answer of now; of an error its number and text."""
        if question not in self.answers:
            self.answers[question] = self._ask(question)
        return self.answers[question]

    def _told(self, question: _Question) -> _Answer:
        answer = self.answer(question)
        if error := self._errors.get(question):
            raise error
        return answer

    def _ask(self, question: _Question) -> _Answer:
        what, path = question
        try:
            match what:
                case "list":
                    return self._fs.listdir(path)
                case "read":
                    return self._fs.read(path)
                case "exists":
                    return self._fs.exists(path)
        except ResctrlError as error:
            self._errors[question] = error
            return error.errno, str(error)
