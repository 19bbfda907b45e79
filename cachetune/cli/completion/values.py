"""What a value can be, by the word that --help has for it: the files of ``FILE``, the guests of ``--guest``.

``COMPLETERS`` maps the metavar of an option, or the name of a parameter, to a function of the context and the text
before the cursor. ``FREE`` are the metavars whose values are unlimited. A test requires each parameter in one of them.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from click.shell_completion import CompletionItem

from cachetune.cli.amounts import BANDWIDTHS, CACHES, NONE
from cachetune.cli.completion.declarations import RULES, declarations
from cachetune.cli.completion.shells import DIRECTORY, FILE, PART

if TYPE_CHECKING:
    from cachetune.cli.completion.running import Runs

# The option with a snapshot whose guests --guest is about, by verb; another verb's --guest is about this machine.
_OF_SNAPSHOT = {"export": "host", "fit": "move_from"}

Items = Iterable[CompletionItem[str]]
Completer = Callable[[click.Context, click.Parameter, str], Items]

FREE = frozenset(
    {
        *("CLASS2ID", "CLASSDEF", "CPULIST", "PIDLIST", "CLASS=LIST"),  # pqos's and rdtset's own
        *("HOST:PORT", "URI", "N", "RATE", "SECONDS", "SIZE", "SPAN", "TEXT", "TIME", "VERSION", "DEFINITIONS"),
        *("N=TID", "NAME", "OP@PATH:ERRNO:N:after"),
    }
)


def completer_of(parameter: click.Parameter, context: click.Context) -> Completer | None:
    """The completer for a parameter, or None if click completes it (choices) or it is free."""
    if isinstance(parameter.type, click.Choice):
        return None
    return COMPLETERS.get(f"--{parameter.name}") or COMPLETERS.get(metavar_of(parameter, context))


def metavar_of(parameter: click.Parameter, context: click.Context) -> str:
    """The word for the value in --help, without what says that it is optional or repeatable."""
    name = parameter.metavar or parameter.make_metavar(context)
    return re.sub(r"\[([^]=]+)\](\.\.\.)?|(?<=.)\.\.\.", r"\1", name)


def _files(pattern: str = "*") -> Completer:
    def complete(_context: click.Context, _parameter: click.Parameter, _begun: str) -> Items:
        yield CompletionItem(pattern, type=FILE)

    return complete


def _directories(_context: click.Context, _parameter: click.Parameter, _begun: str) -> Items:
    yield CompletionItem("*", type=DIRECTORY)


def _hosts(files: str) -> Completer:
    """Simulated hosts, and snapshots in files with names like these."""

    def complete(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
        prefix = "sim:"
        if begun.startswith(prefix):
            yield from _beginning(begun, ((f"{prefix}{name}", about) for name, about in _profiles()))
            return
        if prefix.startswith(begun):
            yield CompletionItem(prefix, type=PART, help="a simulated host")
        yield CompletionItem(files, type=FILE)

    return complete


def _simulations(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    yield from _beginning(begun, _profiles())
    yield CompletionItem("*.json", type=FILE)


def _profiles() -> Iterator[tuple[str, str]]:
    import msgspec

    import cachetune

    class Described(msgspec.Struct):
        description: str = ""

    profiles = (Path(cachetune.__file__).parent / "sim" / "profiles").glob("*.json")
    for path in sorted(profiles, key=lambda path: path.stem):
        yield path.stem, msgspec.json.decode(path.read_bytes(), type=Described).description


def _guests(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The running guests; where the verb is about another host, those with groups in its snapshot."""
    option = _OF_SNAPSHOT.get(context.info_name or "")
    snapshot = context.params.get(option) if option else None
    if snapshot or option == "move_from":
        return _beginning(begun, _saved(snapshot))
    found = sorted(_running(context), key=lambda one: one.name)
    named = list(_beginning(begun, ((one.name, f"process {one.pid}") for one in found if one.name)))
    by_uuid = _beginning(begun, ((one.uuid, one.name) for one in found if one.uuid))
    return named or (by_uuid if begun or not any(one.name for one in found) else ())


def _saved(snapshot: str | None) -> list[tuple[str, str]]:
    from cachetune.cli.completion import running, saved
    from cachetune.text import count

    if snapshot is None or snapshot == "-" or snapshot.startswith("sim:"):
        return []
    path = os.path.expanduser(snapshot)  # noqa: PTH111 - the other one raises errors
    found = running.in_time(lambda: saved.guests(Path(path)))
    return [(name, count(groups, "group")) for name, groups in cast("list[tuple[str, int]]", found)]


def _pids(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    return _beginning(begun, ((str(one.pid), one.name) for one in _running(context)))


def _running(context: click.Context) -> "list[Runs]":
    from cachetune.cli.completion import running

    proc = context.params.get("proc") or Path("/proc")
    return cast("list[Runs]", running.in_time(lambda: running.guests(proc)))


def _amounts(context: click.Context, parameter: click.Parameter, begun: str) -> Items:
    """The ids of the caches or nodes that an amount can be for."""
    resource = {**CACHES, **BANDWIDTHS}[str(parameter.name)]
    kind = "node" if parameter.name in BANDWIDTHS else "cache"
    for one in _ids(context, resource):
        if f"{one}=".startswith(begun):
            yield CompletionItem(f"{one}=", type=PART, help=f"{resource} {kind} {one}")


def _l3_ids(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    return _beginning(begun, ((one, f"L3 cache {one}") for one in _ids(context, "L3")))


def _caches(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The caches as LEVEL:ID."""
    found = ((level, one) for level in ("L2", "L3") for one in _ids(context, level))
    return _beginning(begun, ((f"{level}:{one}", f"{level} cache {one}") for level, one in found))


def _ids(context: click.Context, resource: str) -> list[str]:
    from cachetune.cli.completion import running

    resctrl = context.params.get("resctrl") or Path("/sys/fs/resctrl")
    return cast("list[str]", running.in_time(lambda: running.ids(resctrl, resource)))


def _threads(_context: click.Context, parameter: click.Parameter, begun: str) -> Items:
    kinds = {
        "emulator": "the emulator's own threads",
        "iothreads": "all iothreads",
        "vhost": "workers of vhost devices",
    }
    none = {NONE: "remove all monitors"} if parameter.name == "monitors" else {}
    return _beginning(begun, {**kinds, **none}.items())


def _mount_options(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The options of mounting resctrl, separated by commas."""
    given, comma, last = begun.rpartition(",")
    about = {
        "cdp": "code and data separately in L3",
        "cdpl2": "code and data separately in L2",
        "mba_MBps": "bandwidth in MiB/s",
    }
    left = {name: text for name, text in about.items() if name not in given.split(",") and name.startswith(last)}
    return (CompletionItem(f"{given}{comma}{name}", help=text) for name, text in left.items())


def _rules(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    return _beginning(begun.upper(), _summaries())


def _selected_rules(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The areas and rules of ``validate``, separated by commas."""
    from cachetune.service.rule_selection import rules_of_validate

    given, comma, last = begun.upper().rpartition(",")
    rules = rules_of_validate()
    areas = {rule[:3]: f"all rules {rule[:3]}xx" for rule in rules}
    found = _beginning(last, sorted((areas | {name: rule.summary for name, rule in rules.items()}).items()))
    return (CompletionItem(f"{given}{comma}{item.value}", help=item.help) for item in found)


def _checks(_context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The rules of the doctor."""
    return _beginning(begun.upper(), ((name, text) for name, text in _summaries() if name.startswith("CT6")))


def _summaries() -> list[tuple[str, str]]:
    """The rules with their summaries. The program that applies them would take 200 ms more."""
    with declarations(*RULES):
        from cachetune.explain import catalog

        return [(name, rule.summary) for name, rule in catalog.RULES.items()]


def _verbs(context: click.Context, _parameter: click.Parameter, begun: str) -> Items:
    """The verbs, and the words of a verb that is a group."""
    shown = context.find_root()
    for word in context.params.get("verb") or ():
        found = shown.command.get_command(shown, word) if isinstance(shown.command, click.Group) else None
        if found is None:
            return ()
        shown = click.Context(found, info_name=word, parent=shown)
    return shown.command.shell_complete(shown, begun) if isinstance(shown.command, click.Group) else ()


def _beginning(begun: str, found: Iterable[tuple[str, str]]) -> Iterator[CompletionItem[str]]:
    return (CompletionItem(value, help=text) for value, text in found if value.startswith(begun))


COMPLETERS: dict[str, Completer] = {
    "--guest": _guests,
    "NAME|UUID": _guests,
    "PID": _pids,
    "FILE": _files(),
    "FILE|DIR": _files(),
    "FILE|DIRECTORY|-": _files(),
    "SOCKET": _files(),
    "HREF": _files(),
    "PATH.rng": _files("*.rng"),
    "DIR": _directories,
    "FILE|sim:NAME": _hosts("*.json"),
    "A": _hosts("*.json"),
    "B": _hosts("*.json"),
    "GUEST|SNAPSHOT|DIR": _hosts("*"),
    "NAME|FILE": _simulations,
    "[ID=]SIZE": _amounts,
    "[ID=]RATE": _amounts,
    "ID": _l3_ids,
    "L3:ID": _caches,
    "KIND": _threads,
    "LIST": _threads,
    "OPTIONS": _mount_options,
    "PATH": _files(),
    "RULE|WORD": _rules,
    "CHECK": _checks,
    "RULES": _selected_rules,
    "VERB": _verbs,
}
