"""The parts of SARIF 2.1.0 that ``sarif`` writes, with the names of the standard.

Source: OASIS, Static Analysis Results Interchange Format (SARIF) Version 2.1.0.
"""

from typing import Literal

import msgspec

from cachetune.findings import Severity


class _Object(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """An object of SARIF: names in camel case, and absent where it has nothing to say."""


class Message(_Object, frozen=True, kw_only=True):
    """A text, and the same in Markdown."""

    text: str
    markdown: str = ""


class Artifact(_Object, frozen=True, kw_only=True):
    """A file: a URI, relative to the root of the repository if the file is in it."""

    uri: str
    uri_base_id: str = ""


class Region(_Object, frozen=True, kw_only=True):
    """A place in a file, 1-based."""

    start_line: int
    start_column: int | None = None


class PhysicalLocation(_Object, frozen=True, kw_only=True):
    """A file and a place in it."""

    artifact_location: Artifact
    region: Region | None = None


class LogicalLocation(_Object, frozen=True, kw_only=True):
    """The path of an element or an attribute."""

    fully_qualified_name: str
    kind: Literal["element", "attribute"]


class Location(_Object, frozen=True, kw_only=True):
    """A place in the file and in the tree of its elements."""

    physical_location: PhysicalLocation
    logical_locations: tuple[LogicalLocation, ...] = ()


class Configuration(_Object, frozen=True, kw_only=True):
    """The severity of a rule."""

    level: Severity


class Rule(_Object, frozen=True, kw_only=True):
    """What code scanning shows beside a finding."""

    id: str
    short_description: Message
    full_description: Message
    help: Message
    default_configuration: Configuration
    properties: dict[str, object]


class Result(_Object, frozen=True, kw_only=True):
    """A finding."""

    rule_id: str
    rule_index: int
    level: Severity
    message: Message
    locations: tuple[Location, ...]
    partial_fingerprints: dict[str, str]


class Notification(_Object, frozen=True, kw_only=True):
    """A file that could not be read."""

    level: Severity
    message: Message
    locations: tuple[Location, ...]


class Invocation(_Object, frozen=True, kw_only=True):
    """How the run ended."""

    exit_code: int
    execution_successful: bool
    tool_execution_notifications: tuple[Notification, ...] = ()


class Driver(_Object, frozen=True, kw_only=True):
    """The program, with the rules that its results name."""

    name: str
    version: str
    semantic_version: str
    rules: tuple[Rule, ...]


class Tool(_Object, frozen=True, kw_only=True):
    """The program."""

    driver: Driver


class Base(_Object, frozen=True, kw_only=True):
    """What relative URIs are relative to; the reader knows where that is."""

    description: Message


class Run(_Object, frozen=True, kw_only=True):
    """One run. Columns count characters, as in all reports."""

    tool: Tool
    invocations: tuple[Invocation, ...]
    original_uri_base_ids: dict[str, Base]
    column_kind: str
    results: tuple[Result, ...]


class Log(_Object, frozen=True, kw_only=True):
    """The document."""

    schema: str = msgspec.field(name="$schema")
    version: str
    runs: tuple[Run, ...]
