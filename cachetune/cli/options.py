"""The options that several verbs share, each defined once, and the values made from them."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cachetune.cli.verb import option
from cachetune.errors import InputError
from cachetune.guests.sources import NAMES
from cachetune.guests.sources.options import Setting, SourceOptions, settings
from cachetune.units import ROUNDINGS

if TYPE_CHECKING:
    from cachetune.plan.policy import Policy
    from cachetune.plan.request import Options
    from cachetune.service.connection import Location
    from cachetune.service.select import Selection

F = TypeVar("F", bound=Callable[..., Any])
_DIR = click.Path(path_type=Path, file_okay=False)
_GUEST, _HOW, _WHERE, _FINDING, _OUTPUT = "Which guest", "How", "Where", "Finding guests", "Output"


def _href(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """The schema to name; "" for none."""
    if value is not None and not (value and value.isprintable()):
        raise click.BadParameter("it must be a path or URL, or none")
    return "" if value == "none" else value


def _not_empty(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Reject an empty name: an unset variable in a script must not select a guest without a name."""
    if value == "":
        raise click.BadParameter("the name is empty")
    return value


def _absolute(_context: click.Context, _option: click.Parameter, value: str) -> str:
    """Reject a relative path, or one with "..": it is below another directory."""
    if not value.startswith("/") or ".." in value.split("/"):
        raise click.BadParameter(f"{value!r} is not an absolute path")
    return value


# Without a type argument, which older versions of click do not have.
class _VcpuThread(click.ParamType):  # type: ignore[type-arg]
    name = "N=TID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        vcpu, _, tid = str(value).partition("=")
        if not re.fullmatch("[0-9]{1,5}=0*[1-9][0-9]{0,9}", str(value)):
            self.fail(f"{value!r} is not a vCPU and its thread id, such as 0=4711", param, ctx)
        return int(vcpu), int(tid)


# What shells complete. A host can have others. Source: the kernel's resctrl.rst.
_EVENTS = (
    *("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes", "core_energy", "activity", "uops_retired"),
    *("stalls_llc_hit", "stalls_llc_miss", "unhalted_core_cycles", "unhalted_ref_cycles", "c1_res", "c6_res"),
)
# How often counters may be read: a read interrupts a CPU of the cache.
_LEAST_INTERVAL, _UNFORCED_INTERVAL, _MOST_INTERVAL = 0.001, 0.1, 86400.0


class _Interval(click.ParamType):  # type: ignore[type-arg]
    name = "SECONDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number of seconds, such as 1 or 0.5", param, ctx)
        if not _LEAST_INTERVAL <= seconds <= _MOST_INTERVAL:  # also if it is not a number
            self.fail(f"{seconds:g} is not between {_LEAST_INTERVAL:g} and {_MOST_INTERVAL:g} seconds", param, ctx)
        return seconds


def stack(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator, in the order of --help."""

    def decorate(function: F) -> F:
        for each in reversed(options):
            function = each(function)
        return function

    return decorate


as_json = option("--json", "as_json", is_flag=True, heading=_OUTPUT, help="Print a JSON document instead of text.")


def guest_option(text: str) -> Callable[[F], F]:
    """--guest with a help text."""
    return option("--guest", metavar="NAME|UUID", callback=_not_empty, heading=_GUEST, help=text)


guest = guest_option("A running guest.")
all_guests = option("--all-guests", is_flag=True, heading=_GUEST, help="Every running guest.")
machine_name = option(
    "--machine-name",
    metavar="NAME",
    heading=_GUEST,
    help="Prefix of the group names (default: libvirt's machine name, or cachetune-NAME).",
)
pid = option(
    "--pid",
    type=click.IntRange(min=1),
    metavar="PID",
    heading=_GUEST,
    help="The guest's QEMU process; its vCPU threads are found.",
)
vcpus = option(
    "--vcpu",
    "vcpus",
    type=_VcpuThread(),
    multiple=True,
    metavar="N=TID",
    heading=_GUEST,
    help="The thread of vCPU N. Repeatable.",
)


def interval_option(text: str, default: float | None = None) -> Callable[[F], F]:
    """--interval with a help text, and --force; ``check_interval`` says whether they agree."""
    return stack(
        option(
            "--interval",
            type=_Interval(),
            default=default,
            show_default=default is not None,
            metavar="SECONDS",
            heading=_HOW,
            help=text,
        ),
        option(
            "--force",
            is_flag=True,
            heading=_HOW,
            help=f"Allow an interval under {_UNFORCED_INTERVAL:g} s, although each read interrupts a CPU.",
        ),
    )


def check_interval(interval: float | None, *, force: bool) -> None:
    """Raise InputError for an interval that needs --force, without it."""
    if interval is not None and interval < _UNFORCED_INTERVAL and not force:
        raise InputError(
            f"--interval {interval:g} is under {_UNFORCED_INTERVAL:g} s, and each read of a counter interrupts a CPU",
            hint="pass --force if the guests on this host may be disturbed",
        )


event = option(
    "--event",
    "events",
    multiple=True,
    metavar="EVENT",
    heading=_HOW,
    shell_complete=lambda _context, _option, begun: [name for name in _EVENTS if name.startswith(begun)],
    help="Read only this event, such as mbm_total_bytes. Repeatable.",
)

shrink_default = option(
    "--shrink-default", is_flag=True, heading=_HOW, help="Take ways from the default group, as few as needed."
)
compact = option(
    "--compact", is_flag=True, heading=_HOW, help="Move groups that cachetune made to other ways if that makes room."
)
take_tasks = option("--take-tasks", is_flag=True, heading=_HOW, help="Also move threads out of foreign groups.")
assign_counters = option(
    "--assign-counters",
    is_flag=True,
    heading=_HOW,
    help="Assign bandwidth counters to monitors that have none (AMD ABMC, MPAM).",
)
exclusive = option(
    "--exclusive",
    is_flag=True,
    heading=_HOW,
    help="Make the groups exclusive: no other group and no device may have their ways, of any cache.",
)


def policy_option(text: str) -> Callable[[F], F]:
    """--policy with a help text."""
    path = click.Path(path_type=Path, dir_okay=False)
    return option("--policy", type=path, metavar="FILE", heading=_WHERE, help=text)


policy = policy_option("The host's policy (default: /etc/cachetune/host.toml, if it exists).")
rounding = option(
    "--round",
    "rounding",
    type=click.Choice(ROUNDINGS),
    heading=_HOW,
    help="Round sizes to whole ways and bandwidths to the host's steps (default: only percentages and converted rates, "
    "down).",
)
adopt = option("--adopt", is_flag=True, heading=_HOW, help="Also change groups that libvirt made for the guest.")
yes = option(
    *("-y", "--yes"), is_flag=True, heading=_HOW, help="Do not prompt for confirmation; required without a terminal."
)
dry_run = option("--dry-run", is_flag=True, heading=_HOW, help="Show what would be done, and change nothing.")
_save = option(
    "--save", is_flag=True, heading=_HOW, help="Write FILE to the directory --guests-d as NAME.xml once it is applied."
)
schema = option(
    "--schema",
    metavar="HREF",
    callback=_href,
    heading=_OUTPUT,
    help="Schema (.rng, .xsd or .rnc) that a tuning file names for editors, or none (default: the one that it names "
    "already, or /usr/share/cachetune/cachetune.rng).",
)
save = stack(_save, schema)
consent = stack(yes, dry_run)
"""The options of every verb that changes a host."""

log = option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    heading=_WHERE,
    help="The change log (default: /var/log/cachetune/changes.jsonl; with --run, changes.jsonl there).",
)
lock_timeout = stack(
    option(
        "--lock-timeout",
        type=click.FloatRange(min=0),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        heading=_HOW,
        help="How long to wait for the lock on resctrl.",
    ),
    log,
)
"""The options of every verb that may change a host, also of the agent: the lock, and the log of what was changed."""


def _directory(name: str, default: str, text: str, heading: str = _WHERE) -> Callable[[F], F]:
    """An option whose default an environment variable changes: CACHETUNE_RESCTRL for --resctrl."""
    return option(
        name,
        type=_DIR,
        metavar="DIR",
        default=Path(default),
        show_default=True,
        envvar="CACHETUNE_" + name.strip("-").replace("-", "_").upper(),
        heading=heading,
        help=text,
    )


host = option(
    "--host",
    metavar="FILE|sim:NAME",
    heading=_WHERE,
    help="A snapshot (- for standard input) or a simulated host instead of this one.",
)
resctrl = _directory("--resctrl", "/sys/fs/resctrl", "The resctrl tree, or a copy of one.")
sysfs = _directory("--sysfs", "/sys", "The sysfs tree, for cache sizes.")
run = _directory("--run", "/run/cachetune", "Directory of the journal and the ledger.")
guests_d = _directory(
    "--guests-d", "/etc/cachetune/guests.d", "Directory of tuning files, one NAME.xml per guest.", _FINDING
)
prefix = option(
    "--prefix",
    type=_DIR,
    default=Path("/"),
    show_default=True,
    metavar="DIR",
    heading=_WHERE,
    help="Root of the file system, such as a package's staging directory.",
)
unit_dir = option(
    "--unit-dir",
    default="/etc/systemd/system",
    show_default=True,
    metavar="DIR",
    callback=_absolute,
    heading=_WHERE,
    help="Directory of units below the prefix; packages use /usr/lib/systemd/system.",
)

db = option(
    "--db",
    type=click.Path(path_type=Path),
    metavar="FILE",
    default=Path("/var/lib/cachetune/history.db"),
    show_default=True,
    heading=_WHERE,
    help="The history of counters, an SQLite database.",
)

source = option(
    "--source",
    type=click.Choice(NAMES),
    metavar="SOURCE",
    heading=_FINDING,
    help=f"Source of guests and vCPU threads: {', '.join(NAMES)} (default: the first that knows them, in this order).",
)
_TYPES = {"directory": _DIR, "socket": click.Path(path_type=Path, dir_okay=False), "text": click.STRING}


def _setting(name: str, setting: Setting) -> Callable[[F], F]:
    """The option for a setting of the guest sources."""
    default = getattr(SourceOptions(), name)
    return option(
        f"--{name.replace('_', '-')}",
        type=_TYPES[setting.kind],
        default=default,
        show_default=default is not None,
        metavar=setting.metavar or "DIR",
        heading=_WHERE if name == "proc" else _FINDING,
        help=setting.help,
    )


_settings = {name: _setting(name, setting) for name, setting in settings().items()}
proc = _settings["proc"]


finding = stack(source, *_settings.values())
"""Where to look for running guests: --source, and the settings of the sources."""

how = stack(shrink_default, compact, take_tasks, assign_counters, rounding, adopt)
"""How to plan, besides --exclusive."""

planning = stack(
    *(guest, all_guests, pid, vcpus, machine_name),
    exclusive,
    how,
    finding,
    guests_d,
    *(resctrl, sysfs, run, policy),
)
"""The options of every verb that plans."""


def location(values: Mapping[str, Any]) -> "Location":
    """The location that the options describe. The verb is the program that the change log names."""
    from cachetune.service.connection import Location

    context = click.get_current_context(silent=True)
    verb = context.command_path.partition(" ")[2] if context else ""
    return Location(program=verb or "library", **_fields_of(Location, values))


def selection(values: Mapping[str, Any]) -> "Selection":
    """The selection that the options describe."""
    from cachetune.service.select import Selection

    sources = SourceOptions(**_fields_of(SourceOptions, values))
    return Selection(sources=sources, **_fields_of(Selection, values))


def plan_options(values: Mapping[str, Any]) -> "Options":
    """The options of a plan, with the host's policy. Raises InputError for one that cannot be read."""
    from cachetune.plan.request import Options

    return Options(**{**_fields_of(Options, values), "policy": host_policy(values)})


def host_policy(values: Mapping[str, Any]) -> "Policy | None":
    """The policy of the host that is planned for: a snapshot or a simulated host has none unless it is given."""
    from cachetune.service.policy import read_policy

    if values["policy"] is None and values.get("host") is not None:
        return None
    return read_policy(values["policy"])


def _fields_of(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in kind.__struct_fields__ if name in values}
