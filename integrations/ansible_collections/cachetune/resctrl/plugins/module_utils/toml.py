"""Write a policy as TOML: tables of tables whose values are strings, or tables of strings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(policy: Mapping[str, Any]) -> str:
    """The text of a policy. A value of another kind is written as its text, and the command refuses it."""
    return "\n".join(_tables(policy))


def _tables(policy: Mapping[str, Any]) -> Iterator[str]:
    for area, tables in policy.items():
        if not isinstance(tables, dict):
            yield f"{_key(area)} = {_value(tables)}\n"
            continue
        for name, table in tables.items():
            if isinstance(table, dict):
                lines = [f"[{_key(area)}.{_key(name)}]", *(f"{_key(key)} = {_value(table[key])}" for key in table)]
                yield "\n".join(lines) + "\n"
            else:
                yield f"[{_key(area)}]\n{_key(name)} = {_value(table)}\n"


def _key(key: object) -> str:
    return str(key) if _BARE.fullmatch(str(key)) else _text(key)


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items()) + " }"
    return _text(value)


def _text(value: object) -> str:
    """A basic string of TOML: as in JSON, and DEL is escaped as well."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
