"""Option values such as ``0=6MiB``, ``0-1=30%`` and ``3ways``: a value for some ids, or for all."""

import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import click
import msgspec

from cachetune.domain.threads import parse_threads
from cachetune.idset import parse_vcpus
from cachetune.service.members import Members

V = TypeVar("V")
_MOST_IDS = 4096
NONE = "none"


class ForIds(msgspec.Struct, Generic[V], frozen=True):
    """A value for some ids (None: for all); ``value`` None is the word "none". ``text`` is what the user wrote."""

    ids: frozenset[int] | None
    value: V | None
    text: str


# Without a type argument, which older versions of click do not have.
class IdValue(click.ParamType):  # type: ignore[type-arg]
    """``[IDS=]VALUE``, where ``parse`` reads the value and raises ValueError."""

    name = "[IDS=]VALUE"

    def __init__(self, parse: Callable[[str], Any]) -> None:
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> ForIds[Any]:
        """Convert the text, or fail with what is wrong with it."""
        text = str(value)
        ids, equals, amount = text.rpartition("=")
        try:
            found = None if amount.strip() == NONE else self._parse(amount.strip())
            return ForIds(_ids(ids) if equals else None, found, text)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class VcpuList(click.ParamType):  # type: ignore[type-arg]
    """A list of vCPUs as in XML: ``0-3,^2``."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members:
        """Convert the text, or fail with what is wrong with it."""
        try:
            vcpus = parse_vcpus(str(value))
        except ValueError as error:
            self.fail(f"{str(value)[:40]!r} is not a list of vCPUs such as 0-3,5: {error}", param, ctx)
        if not vcpus:
            self.fail(f"{str(value)[:40]!r} has no vCPU", param, ctx)
        return Members(vcpus)


class ThreadList(click.ParamType):  # type: ignore[type-arg]
    """A kind of threads as in a tuning file: ``emulator``, ``iothreads:1-2``."""

    name = "KIND"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members:
        """Convert the text, or fail with what is wrong with it."""
        try:
            return Members.of_threads(parse_threads(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Monitored(click.ParamType):  # type: ignore[type-arg]
    """A list of vCPUs, a kind of threads, or the word "none"."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members | str:
        """Convert the text, or fail with what is wrong with it."""
        if value == NONE:
            return NONE
        return (ThreadList() if str(value)[:1].isalpha() else VcpuList()).convert(value, param, ctx)


def _ids(text: str) -> frozenset[int]:
    """A list of cache ids, which can be any number: ``0``, ``0-3,8``. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,10})(?:-([0-9]{1,10}))?\s*", part, re.ASCII)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < first + _MOST_IDS or len(found) > _MOST_IDS:
            raise ValueError(f"{text[:40]!r} is not a list of cache ids such as 0 or 0-3,8")
        found.update(range(first, last + 1))
    return frozenset(found)
