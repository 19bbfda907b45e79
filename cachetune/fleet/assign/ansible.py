"""The assignment as a file of Ansible variables, as ``vars_files`` and the role ``rollout`` read it.

It is written here and not by PyYAML: two levels of mappings with one flow mapping in each line are all there is, and
PyYAML would be one more extra. Every string that is not a plain word is quoted, in ASCII. Ansible takes the values as
templates, so a name with the start of one is refused: it would be run on the machine from which Ansible is started.
"""

import re
from collections.abc import Iterator

from cachetune.errors import InputError
from cachetune.fleet.assign.model import FleetAssignment
from cachetune.plan.request import Options

_HEADER = (
    "# Written by 'cachetune fit --assign --vars'. The guests of a host are in the order in which to apply them.\n"
)
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*([._/-]+[A-Za-z0-9]+)*", re.ASCII)
_WORDS = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"}  # of YAML 1.1, in any case
_TEMPLATES = ("{{", "{%", "{#")
_NAMED = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t"}


def ansible_vars(found: FleetAssignment, options: Options) -> bytes:
    """The variables ``cachetune_assignment``, by guest, and ``cachetune_guests``, by host.

    Raises InputError for a name that Ansible would take as a template, and for a guest that is not from a file.
    """
    return "".join([_HEADER, *_assignment(found, options), *_guests(found, options)]).encode()


def _assignment(found: FleetAssignment, options: Options) -> Iterator[str]:
    placed = sorted((guest for guest in found.guests if guest.host is not None), key=lambda guest: guest.guest)
    yield "cachetune_assignment:\n" if placed else "cachetune_assignment: {}\n"
    flags = ", ".join(map(_text, _flags(options)))
    for guest in placed:
        name, host, file = (_text(_checked(each)) for each in (guest.guest, guest.host or "", guest.file))
        yield f"  {name}: {{host: {host}, domain: {file}, options: [{flags}]}}\n"


def _guests(found: FleetAssignment, options: Options) -> Iterator[str]:
    files = {guest.guest: guest.file for guest in found.guests}
    yield "cachetune_guests:\n" if found.hosts else "cachetune_guests: {}\n"
    shrink, compact = (str(each).lower() for each in (options.shrink_default, options.compact))
    means = f"shrink_default: {shrink}, compact: {compact}, round: {options.rounding or 'null'}"
    for host in found.hosts:
        yield f"  {_text(_checked(host.host))}:\n"
        for guest in host.guests:
            yield f"    - {{name: {_text(guest)}, domain: {_text(files[guest])}, {means}}}\n"


def _flags(options: Options) -> Iterator[str]:
    if options.shrink_default:
        yield "--shrink-default"
    if options.compact:
        yield "--compact"
    if options.rounding:
        yield f"--round={options.rounding}"


def _checked(text: str) -> str:
    if text == "<stdin>":
        raise InputError("a guest from standard input cannot be in a file of variables", hint="pass it as a file")
    if any(start in text for start in _TEMPLATES):
        raise InputError(f"{text!r} would be a template for Ansible", hint="rename it, or leave out --vars")
    return text


def _text(text: str) -> str:
    """A string as YAML: as it is if it is a plain word or an option, else in quotes."""
    plain = _PLAIN.fullmatch(text.removeprefix("--").replace("=", "-") if text.startswith("--") else text)
    return text if plain and text.lower() not in _WORDS else f'"{"".join(map(_escaped, text))}"'


def _escaped(char: str) -> str:
    number = ord(char)
    if char in _NAMED:
        return _NAMED[char]
    if 0x20 <= number < 0x7F:
        return char
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
