"""Options with a value for caches or nodes, such as ``--l3 0=4ways``, ``--mb 0-1=50%`` or ``--l3 4ways`` for all."""

import re
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import click

from cachetune.units import BandwidthResource

A = TypeVar("A")
_RANGE = "[0-9]{1,10}(-[0-9]{1,10})?"  # Arm's ids of caches have up to 32 bits
_MOST_IDS = 1024

CACHES = {
    "l3": "L3",
    "l3code": "L3CODE",
    "l3data": "L3DATA",
    "l2": "L2",
    "l2code": "L2CODE",
    "l2data": "L2DATA",
}
"""The options for caches, with the resource of each."""
BANDWIDTHS: dict[str, BandwidthResource] = {"mb": "MB", "smba": "SMBA"}
"""The options for bandwidth, with the resource of each."""


NONE = "none"


class Amount(NamedTuple, Generic[A]):
    """The ids before the "=" (None: all of the host), and the amount after it (None: the word "none").

    ``text`` is what the user wrote.
    """

    ids: tuple[int, ...] | None
    amount: A | None
    text: str


# Without a type argument, which older versions of click do not have.
class AmountType(click.ParamType):  # type: ignore[type-arg]
    """``[ID=]AMOUNT``, where ID is a number, or a list such as 0-1,3; without it the amount is for all ids.

    With ``droppable`` the amount can be "none".
    """

    def __init__(self, name: str, parse: Callable[[str], Any], *, droppable: bool = False) -> None:
        self.name, self._parse, self._droppable = f"[ID=]{name}", parse, droppable

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert one value; fails with what is wrong."""
        if isinstance(value, Amount):
            return value
        ids, equals, amount = str(value).rpartition("=")
        if equals and not re.fullmatch(f"{_RANGE}(,{_RANGE})*", ids, re.ASCII):
            self.fail(f"{value!r} is not {self.name}, such as {self._example()}", param, ctx)
        try:
            parsed = None if self._droppable and amount == NONE else self._parse(amount)
            return Amount(_ids(ids) if equals else None, parsed, str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def _example(self) -> str:
        return "0=4ways" if self.name.endswith("SIZE") else "0=50%"


def _ids(text: str) -> tuple[int, ...]:
    """The ids of a list such as 0-1,3. Raises ValueError."""
    ids: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = int(first), int(last or first)
        if not low <= high < low + _MOST_IDS:
            raise ValueError(f"not a range of ids: {part!r}")
        ids.update(range(low, high + 1))
    return tuple(sorted(ids))
