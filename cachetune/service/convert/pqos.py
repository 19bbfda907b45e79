"""pqos command lines: ``-e`` defines classes of service, ``-a`` puts CPUs or tasks into them.

A definition is TYPE[@IDS]:CLASS=VALUE; without IDS it is for every cache, and later ones win. Where nothing is defined,
a class keeps all ways and the whole bandwidth. Class 0 is the default group. Source: pqos(8) of 4.5, and newer
versions for smba.
"""

import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from cachetune.cbm import Bandwidth, Cbm, Masks
from cachetune.host.model import Host
from cachetune.plan.bandwidth import NOUNS
from cachetune.service.convert.model import Foreign, ForeignClass, invalid, numbers

Option = tuple[str, str, str]
"""Where an option was found, the option (``-e`` or ``-a``), and its value."""

_DEFINITION = re.compile(
    r"(llc|l3|l2|mba|mba_max|smba)(?:@([0-9,-]+))?:([0-9]{1,4})([cd]?)=(0x[0-9a-f]{1,16}|[0-9]{1,20})", re.ASCII
)
_ASSOCIATION = re.compile(r"(llc|cos|core|pid):([0-9]{1,4})=([0-9,\s-]+)", re.ASCII)
_LEVELS = {"llc": 3, "l3": 3, "l2": 2}
_TYPES = {"c": ("code",), "d": ("data",), "": ("both", "code", "data")}
_EXAMPLE = "write it as pqos takes it, such as llc:1=0x7, l2@0-1:2=0xf or mba:1=50"
# Options of pqos that take a value, and are not for allocation.
_VALUES = {*"lfmpouitc", "log-file", "config-file", "mon-core", "mon-file", "mon-file-type", "mon-interval", "mon-time"}
_LONG = {"alloc-class": "-e", "alloc-assoc": "-a"}


class _Class:
    """A class while it is read."""

    def __init__(self) -> None:
        self.masks: dict[str, dict[int, Cbm]] = defaultdict(dict)
        self.bandwidth: dict[str, dict[int, int]] = defaultdict(dict)
        self.cpus: set[int] = set()
        self.tids: set[int] = set()


class _Reader:
    def __init__(self, host: Host) -> None:
        self._host = host
        self.classes: dict[int, _Class] = defaultdict(_Class)
        self.notes: list[str] = []

    def define(self, where: str, text: str) -> None:
        match = _DEFINITION.fullmatch(text.lower())
        if not match:
            raise invalid(where, f"{text[:60]!r} is not a definition of a class", _EXAMPLE)
        kind, ids, number, letter, value = match.groups()
        chosen = numbers(ids, where) if ids else None
        if kind in _LEVELS:
            self._define_masks(f"{where}: {text}", int(number), (_LEVELS[kind], letter, chosen), int(value, 0))
        elif letter:
            raise invalid(where, f"{text[:60]!r}: only caches have code and data", _EXAMPLE)
        else:
            self._define_bandwidth(f"{where}: {text}", int(number), kind, chosen, int(value, 0))

    def _define_masks(self, what: str, number: int, of: tuple[int, str, frozenset[int] | None], mask: int) -> None:
        level, letter, chosen = of
        controls = [c for c in self._host.caches if c.level == level and c.type in _TYPES[letter]]
        if not controls:
            kind = {"c": "code", "d": "data"}.get(letter)
            needs = f"separate {kind} (CDP) on " if kind else ""
            self.notes.append(f"{what}: left out, because the host has no {needs}L{level}")
        for control in controls:
            ids = control.size_bytes.keys() if chosen is None else chosen & control.size_bytes.keys()
            self.classes[number].masks[control.name].update(dict.fromkeys(ids, Cbm(mask)))
            self._note_missing(what, f"L{level} cache", chosen, control.size_bytes.keys())

    def _define_bandwidth(self, what: str, number: int, kind: str, chosen: frozenset[int] | None, value: int) -> None:
        resource = "SMBA" if kind == "smba" else "MB"
        control = self._host.bandwidth(resource)
        if control is None or (control.unit == "MiB/s") != (kind == "mba_max"):
            noun = NOUNS[resource]
            why = f"limits {noun} in {control.unit}" if control else f"does not limit {noun}"
            self.notes.append(f"{what}: left out, because the host {why}")
            return
        ids = set(control.ids) if chosen is None else chosen.intersection(control.ids)
        self.classes[number].bandwidth[resource].update(dict.fromkeys(ids, value))
        self._note_missing(what, "node", chosen, control.ids)

    def _note_missing(self, what: str, noun: str, chosen: frozenset[int] | None, known: Iterable[int]) -> None:
        missing = sorted((chosen or frozenset()).difference(known))
        if missing and (note := f"{what}: the host has no {noun} {missing[0]}") not in self.notes:
            self.notes.append(note)

    def associate(self, where: str, text: str) -> None:
        match = _ASSOCIATION.fullmatch(text.lower())
        if not match:
            hint = "write it as pqos takes it, such as core:1=0-3 or pid:1=4711"
            raise invalid(where, f"{text[:60]!r} is not an association", hint)
        found = self.classes[int(match[2])]
        (found.tids if match[1] == "pid" else found.cpus).update(numbers(match[3], where))


def read(options: Iterable[Option], host: Host) -> Foreign:
    """The classes that the options define on the host. Raises InputError for what pqos would refuse."""
    reader = _Reader(host)
    for where, option, value in options:
        for item in filter(None, (part.strip() for part in value.split(";"))):
            (reader.define if option == "-e" else reader.associate)(where, item)
    classes = (
        ForeignClass(
            name=str(number),
            masks=Masks(found.masks),
            bandwidth=Bandwidth(found.bandwidth),
            cpus=frozenset(found.cpus),
            tids=frozenset(found.tids),
            is_default=number == 0,
        )
        for number, found in sorted(reader.classes.items())
    )
    return Foreign(tuple(classes), tuple(reader.notes))


def options_of_script(text: str, name: str) -> Iterator[Option]:
    """The options of the lines of a shell script that run pqos. Raises InputError for a line that is not closed."""
    for number, line in enumerate(text.splitlines(), 1):
        where = f"{name}:{number}"
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise invalid(where, f"not a line of a shell script: {error}") from None
        start = next(
            (n for n, word in enumerate(words) if word.rpartition("/")[2] in ("pqos", "pqos-os", "pqos-msr")), None
        )
        if start is not None:
            yield from _options(words[start + 1 :], where)


def _options(words: Sequence[str], where: str) -> Iterator[Option]:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("--"):
            option = _LONG.get(name)
            if option or name in _VALUES:
                value = value if equals else next(rest, "")
        elif word[:2] in ("-e", "-a"):
            option, value = word[:2], word[2:] or next(rest, "")
        else:
            option = None
            if word.startswith("-") and len(word) == 2 and word[1] in _VALUES:
                next(rest, "")
        if option:
            yield where, option, value
