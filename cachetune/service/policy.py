"""Read the host's policy, /etc/cachetune/host.toml: strictly, because a key that is not understood protects nothing."""

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cachetune.cbm import Cbm
from cachetune.errors import DocumentError, UnreadableFileError
from cachetune.host.model import Host
from cachetune.idset import parse_cpu_list
from cachetune.plan.policy import BandwidthPolicy, LeastWays, Policy, Reserved, strangers
from cachetune.units import Rate, Size

POLICY_FILE = Path("/etc/cachetune/host.toml")
_LARGEST = 1 << 20
_OTHERS = "others"
_MOST_WAYS = 64
_HINT = "see docs/how-to/default-group.md and 'cachetune schema policy'"


class CacheSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[default.L3]: ``least`` is a size for every cache, or a table by cache id and "others"."""

    least: str | dict[str, str] = {}


class BandwidthSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """[default.MB]: the ``least`` that the default group may be given, and the ``value`` that it has."""

    least: str | None = None
    value: str | None = None


class DefaultSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """[default]: what the default group keeps of each resource."""

    l2: CacheSection = CacheSection()
    l2code: CacheSection = CacheSection()
    l2data: CacheSection = CacheSection()
    l3: CacheSection = CacheSection()
    l3code: CacheSection = CacheSection()
    l3data: CacheSection = CacheSection()
    mb: BandwidthSection = BandwidthSection()
    smba: BandwidthSection = BandwidthSection()


class ReservedSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="upper"):
    """[reserved.L3]: by cache id a mask ("0x003") or the numbers of ways ("0-1") that no group may be given."""

    l2: dict[str, str] = {}
    l2code: dict[str, str] = {}
    l2data: dict[str, str] = {}
    l3: dict[str, str] = {}
    l3code: dict[str, str] = {}
    l3data: dict[str, str] = {}


class PolicyFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of host.toml."""

    default: DefaultSection = DefaultSection()
    reserved: ReservedSection = ReservedSection()


def read_policy(path: Path | None) -> Policy | None:
    """The policy in the file; by default that in /etc, or None if there is no such file.

    Raises UnreadableFileError, and DocumentError with the key at fault.
    """
    try:
        with (path or POLICY_FILE).open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError as error:
        if path is None:
            return None
        raise UnreadableFileError(path, error.strerror, hint=_HINT) from None
    except OSError as error:
        raise UnreadableFileError(path or POLICY_FILE, error.strerror, hint="run as root, or pass --policy") from None
    return parse_policy(data, str(path or POLICY_FILE))


def policy_notes(policy: Policy | None, host: Host) -> tuple[str, ...]:
    """Warnings about keys of the policy that mean nothing on the host."""
    keys = strangers(policy, host) if policy else ()
    return tuple(f"{policy.file}: {key} has no effect, as the host has no such resource" for key in keys if policy)


def parse_policy(data: bytes, name: str) -> Policy:
    """The policy in a file's content. Raises DocumentError with the key at fault."""
    if len(data) > _LARGEST:
        raise DocumentError(name, "it is too large for a policy", hint=_HINT)
    try:
        raw = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(name, str(error), hint=_HINT) from None
    for problem in _unknown_keys(raw, PolicyFile):
        raise DocumentError(name, problem, hint=_HINT)
    try:
        found = msgspec.convert(raw, PolicyFile)
    except msgspec.ValidationError as error:
        raise DocumentError(name, str(error), hint=_HINT) from None
    try:
        return Policy(name, tuple(_least(found)), tuple(_bandwidth(found)), tuple(_reserved(found)))
    except _KeyProblemError as problem:
        raise DocumentError(name, str(problem), hint=_HINT) from None


class _KeyProblemError(ValueError):
    """A value that means nothing, with its key."""

    def __init__(self, key: str, why: object) -> None:
        super().__init__(f"{key}: {why}")


def _unknown_keys(raw: Mapping[str, Any], kind: type[msgspec.Struct], prefix: str = "") -> Iterator[str]:
    """A problem for each key that no section has."""
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in raw.items():
        if key not in fields:
            near = difflib.get_close_matches(key, fields, 1, 0.4) or difflib.get_close_matches(key.upper(), fields, 1)
            known = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(fields)}"
            yield f"unknown key {prefix + key!r}; {known}"
        elif isinstance(value, dict) and isinstance(fields[key], type) and issubclass(fields[key], msgspec.Struct):
            yield from _unknown_keys(value, fields[key], f"{prefix}{key}.")


def _sections(section: msgspec.Struct, kind: type) -> Iterator[tuple[str, Any]]:
    for field in msgspec.structs.fields(section):
        value = getattr(section, field.name)
        if isinstance(value, kind):
            yield field.encode_name, value


def _least(found: PolicyFile) -> Iterator[LeastWays]:
    for name, section in _sections(found.default, CacheSection):
        key = f"default.{name}.least"
        if isinstance(section.least, str):
            yield LeastWays(name, None, _size(key, section.least))
            continue
        for cache_id, text in section.least.items():
            number = None if cache_id == _OTHERS else _cache_id(key, cache_id)
            yield LeastWays(name, number, _size(f"{key}.{cache_id}", text))


def _bandwidth(found: PolicyFile) -> Iterator[BandwidthPolicy]:
    for name, section in _sections(found.default, BandwidthSection):
        rates = [
            None if text is None else _rate(f"default.{name}.{key}", text)
            for key, text in (("least", section.least), ("value", section.value))
        ]
        if any(rates):
            yield BandwidthPolicy(name, *rates)


def _reserved(found: PolicyFile) -> Iterator[Reserved]:
    for name, section in _sections(found.reserved, dict):
        for cache_id, text in section.items():
            number = _cache_id(f"reserved.{name}", cache_id)
            yield Reserved(name, number, _ways(f"reserved.{name}.{cache_id}", text))


def _cache_id(key: str, text: str) -> int:
    if not re.fullmatch("[0-9]{1,10}", text, re.ASCII):
        raise _KeyProblemError(key, f"{text[:40]!r} is not a cache id")
    return int(text)


def _size(key: str, text: str) -> Size:
    try:
        return Size.parse(text)
    except ValueError as error:
        raise _KeyProblemError(key, error) from None


def _rate(key: str, text: str) -> Rate:
    try:
        return Rate.parse(text)
    except ValueError as error:
        raise _KeyProblemError(key, error) from None


def _ways(key: str, text: str) -> Cbm:
    """A mask in hexadecimal, or numbers of ways."""
    if re.fullmatch("0x[0-9a-fA-F]{1,16}", text, re.ASCII):
        return Cbm(int(text, 16))
    try:
        numbers = parse_cpu_list(text)
    except ValueError:
        numbers = frozenset()
    if not numbers or max(numbers) >= _MOST_WAYS:
        raise _KeyProblemError(key, f"{text[:40]!r} is neither a mask, such as 0x003, nor numbers of ways, such as 0-1")
    return Cbm(sum(1 << number for number in numbers))
