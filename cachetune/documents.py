"""The JSON documents: how values become JSON and JSON becomes values again.

Every document (host snapshot, plan, report, findings) is a msgspec Struct with ``schema_version``. Decoding checks
types; a ``check`` of the document's own then finds where its fields contradict each other, before anything is done with
it. Such a check is in the module of the document's struct, or next to it, and yields each problem as a phrase.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import msgspec

from cachetune.cbm import Cbm
from cachetune.errors import DocumentError

T = TypeVar("T")

_HINT = "check that this version of cachetune made it and that it was not edited"


class _Kind(msgspec.Struct):
    kind: str | None = None


def encode(document: object) -> bytes:
    """The document as indented JSON with a newline at its end; masks are hexadecimal strings."""
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=to_json), indent=2) + b"\n"


def encode_line(record: object) -> bytes:
    """A value as one line of JSON."""
    return msgspec.json.encode(record, enc_hook=to_json) + b"\n"


def decode(data: bytes, kind: type[T], name: str, check: Callable[[T], Iterable[str]] | None = None) -> T:
    """The value in ``data``, without problems that ``check`` finds.

    Raises DocumentError, which names the document and the place in it, or the first problem.
    """
    try:
        value = msgspec.json.decode(data, type=kind, dec_hook=_from_json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(name, str(error), hint=_HINT) from None
    for problem in check(value) if check else ():
        raise DocumentError(name, problem, hint=_HINT)
    return value


def kind_of(data: bytes, name: str) -> str | None:
    """What distinguishes a profile from a snapshot: its field ``kind``. Raises DocumentError."""
    return decode(data, _Kind, name).kind


def repeated(what: str, names: Iterable[str]) -> Iterator[str]:
    """A problem for each name that occurs more than once."""
    for name, times in Counter(names).items():
        if times > 1:
            yield f"{what} {name!r} occurs {times} times"


def schema(kind: Any) -> dict[str, Any]:
    """The JSON Schema of a document."""
    return msgspec.json.schema(kind, schema_hook=_schema)


def to_json(value: object) -> object:
    """The JSON form of a value that has its own, for msgspec's ``enc_hook``."""
    if isinstance(value, Cbm):
        return value.to_json()
    form = getattr(value, "to_json", None)
    if form is None:
        raise NotImplementedError(type(value))  # what msgspec expects for a value that has none
    return form()


def _from_json(kind: Any, value: object) -> object:
    return kind.from_json(value)


def _schema(kind: Any) -> dict[str, Any]:
    found: dict[str, Any] = kind.json_schema()
    return found
