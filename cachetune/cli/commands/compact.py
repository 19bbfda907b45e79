"""``cachetune compact``: move groups so that the free ways are contiguous."""

import re
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.changing import EXIT_CODES, change, within
from cachetune.cli.planning import print_plan
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.plan.compact import CompactRequest
from cachetune.service.compact import compact_planner, plan_compaction_of
from cachetune.service.connection import connect


# Without a type argument, which older versions of click do not have.
class _Cache(click.ParamType):  # type: ignore[type-arg]
    name = "L3:ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        found = re.fullmatch(r"(L[23](?:CODE|DATA)?):([0-9]{1,9})", str(value), re.ASCII)
        if not found:
            self.fail(f"{value!r} is not a cache, such as L3:0", param, ctx)
        return found[1], int(found[2])


@click.command("compact", cls=Verb, exit_codes=EXIT_CODES)
@option(
    *("--cache", "caches"),
    type=_Cache(),
    multiple=True,
    metavar="L3:ID",
    heading="How",
    help="One cache; repeatable. Without it, all caches.",
)
@option(
    "--shrink-default", is_flag=True, heading="How", help="Also move the default group; it keeps its number of ways."
)
@option("--adopt", is_flag=True, heading="How", help="Also move groups that libvirt made for running guests.")
@options.stack(options.consent, options.lock_timeout, options.as_json, options.host)
@options.stack(options.resctrl, options.sysfs, options.run, options.policy)
def command(
    *,
    caches: tuple[tuple[str, int], ...],
    shrink_default: bool,
    adopt: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Move groups so that the largest hole of each cache is as large as it can be.

    Each group keeps its number of ways, and no group shares ways at any moment. What a group had in the ways that it
    leaves must be fetched again, so the moves enter as few ways as possible, and none that the host's policy reserves.
    Prompts for confirmation on a terminal; without one, pass --yes. --host works with --dry-run only.

    \b
    Examples:
      cachetune compact --dry-run
      cachetune compact --cache L3:0
      cachetune compact --yes --adopt
    """
    request = CompactRequest(caches, shrink_default, adopt, options.host_policy(values))
    location = options.location(values)
    if location.host and not dry_run:
        raise InputError("a compaction is carried out on this host only", hint="omit --host, or pass --dry-run")
    if location.host:
        planned = plan_compaction_of(location, request)
        show_warnings(planned.notes)
        print_plan(planned.plan, "", as_json=as_json)
        return
    planner = within(request.policy, compact_planner(request))
    change(planner, connect(location), "", yes=yes, dry_run=dry_run, as_json=as_json, adopt=adopt)
