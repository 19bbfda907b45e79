"""rdtset's ``-t`` options: each is a class, as FEATURE=VALUE;…;cpu=LIST; without ``cpu`` it is for the tasks of ``-p``.

With two masks, the first is for code and the second for data. Source: rdtset(8) of 4.5. The words may be pasted from a
command line or a script, with its quotes and with ``t=`` for the option: ``t='l3=0xf';cpu=1``.
"""

import re
import shlex
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from cachetune.host.model import Host
from cachetune.service.convert import pqos
from cachetune.service.convert.model import Foreign, ForeignClass, invalid, numbers

_FEATURES = {
    "2": "l2",
    "l2": "l2",
    "3": "llc",
    "l3": "llc",
    "m": "mba",
    "mba": "mba",
    "b": "mba_max",
    "mba_max": "mba_max",
}
_MASK = re.compile(r"0x[0-9a-f]{1,16}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)
_EXAMPLE = "write it as rdtset takes it, such as 'l3=0xf;cpu=1' or 'l3=0xf,0xf0;mba=50;cpu=0-3'"


def read(classes: Iterable[tuple[str, str]], host: Host, pids: str = "", cpus: str = "") -> Foreign:
    """The classes of ``-t`` options, each with its place; ``pids`` and ``cpus`` are those of ``-p`` and ``-c``.

    They are named 1, 2 and so on, as pqos would number them. Raises InputError for what rdtset would refuse.
    """
    found: list[ForeignClass] = []
    notes: list[str] = []
    for number, (where, text) in enumerate(classes, 1):
        features = [*_features(text, where)]
        of_cpus = frozenset[int]().union(*(numbers(value, where) for name, value in features if name == "cpu"))
        options = [(where, "-e", item) for feature in features for item in _definitions(number, *feature, where)]
        read_as = pqos.read(options, host)
        one = read_as.classes[0] if read_as.classes else ForeignClass(name=str(number))
        tids = frozenset() if of_cpus or not pids else numbers(pids, "-p")
        found.append(replace(one, is_default=False, cpus=of_cpus, tids=tids))
        notes += read_as.notes
    if cpus:
        numbers(cpus, "-c")
        notes.append(f"-c {cpus}: left out, because tuning XML does not pin threads; use <vcpupin> in the domain's XML")
    return Foreign(tuple(found), tuple(notes))


def _features(text: str, where: str) -> Iterator[tuple[str, str]]:
    try:
        unquoted = " ".join(shlex.split(text.lower())).removeprefix("t=")
    except ValueError:
        raise invalid(where, f"{text[:60]!r} has a quote that is not closed", _EXAMPLE) from None
    for item in filter(None, (part.strip() for part in unquoted.split(";"))):
        name, equals, value = item.partition("=")
        if not equals or (name not in _FEATURES and name != "cpu"):
            raise invalid(where, f"{item[:60]!r} is not a feature with a value", _EXAMPLE)
        yield name, value


def _definitions(number: int, name: str, value: str, where: str) -> Iterator[str]:
    """The feature in the words of pqos."""
    kind = _FEATURES.get(name)
    if kind in ("mba", "mba_max"):
        if not _NUMBER.fullmatch(value):
            raise invalid(where, f"{value[:40]!r} is not a number", _EXAMPLE)
        yield f"{kind}:{number}={value}"
    elif kind:
        masks = value.split(",")
        if len(masks) > 2 or not all(map(_MASK.fullmatch, masks)):
            raise invalid(
                where, f"{value[:40]!r} is not a mask such as 0xf, or one for code and one for data", _EXAMPLE
            )
        letters = ("",) if len(masks) == 1 else ("c", "d")
        yield from (f"{kind}:{number}{letter}={mask}" for letter, mask in zip(letters, masks, strict=True))
