"""The JSON documents: how values become JSON and JSON becomes values again.

Every document (host snapshot, plan, report, findings) is a msgspec Struct with ``schema_version``. Decoding checks
types, so a document from outside is safe to use as a value; what it *says* is checked by those who use it.
"""

from typing import Any, TypeVar

import msgspec

from cachetune.cbm import Cbm
from cachetune.errors import DocumentError

T = TypeVar("T")


def encode(document: object) -> bytes:
    """The document as indented JSON with a newline at its end; masks are hexadecimal strings."""
    return msgspec.json.format(msgspec.json.encode(document, enc_hook=to_json), indent=2) + b"\n"


def encode_line(record: object) -> bytes:
    """A value as one line of JSON."""
    return msgspec.json.encode(record, enc_hook=to_json) + b"\n"


def decode(data: bytes, kind: type[T], name: str) -> T:
    """The value in ``data``. Raises DocumentError, which names the document and the place in it."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_from_json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        hint = "check that this version of cachetune made it and that it was not edited"
        raise DocumentError(name, str(error), hint=hint) from None


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
