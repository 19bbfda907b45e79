"""``cachetune fit``: which hosts can take a guest, by their snapshots."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.assigning import assigning, check_no_assignment, show_assignment
from cachetune.cli.moving import check_no_move, check_one_host, moving, show_move
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_findings, show_warnings
from cachetune.cli.show.fit import BEST, check_asked, fit_notes, fit_page, show_unusable
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.service.fit import fit_guests
from cachetune.service.moments import parse_span

_STALE = "1d"


@click.command(
    "fit",
    cls=Verb,
    exit_codes={
        0: "every guest fits on at least one host; with --assign: every guest has one",
        1: "a guest fits on none with these options; with --assign: a guest has no host; "
        "with --from: or a part of its tuning is left out",
        2: "a file cannot be used, or could not run",
    },
)
@click.argument("files", nargs=-1, metavar="GUEST|SNAPSHOT|DIR...")
@options.stack(options.shrink_default, options.compact, options.rounding)
@options.policy_option("A policy for all hosts, in the format of /etc/cachetune/host.toml.")
@option(
    "--together",
    is_flag=True,
    heading="How",
    help="Plan each guest after those before it, in the order given, not alone.",
)
@option("--spread", is_flag=True, heading="How", help="The hosts that keep most ways first, not the fewest.")
@option(
    "--stale-after",
    "stale",
    metavar="SPAN",
    default=_STALE,
    show_default=True,
    heading="How",
    help="Warn about snapshots that are older than this, such as 2h or 3d.",
)
@option(
    "--best",
    type=click.IntRange(min=1),
    default=BEST,
    show_default=True,
    metavar="N",
    heading="Output",
    help="List only the best hosts, and group those on which it does not fit by rule.",
)
@option("--all", "every", is_flag=True, heading="Output", help="List all hosts.")
@moving
@assigning
@options.as_json
def command(
    *,
    files: tuple[str, ...],
    together: bool,
    spread: bool,
    stale: str,
    best: int,
    every: bool,
    as_json: bool,
    **values: Any,
) -> None:
    """Show which hosts can take a guest: now, or by which option, or why not. Changes nothing.

    A GUEST is domain XML, or a tuning file that is called like its guest. A SNAPSHOT is what 'cachetune snapshot'
    saves, or a simulated host, sim:NAME; a DIR is searched for *.json. The content of a file decides which of the two
    it is; - is standard input. Each guest is planned on each host as 'cachetune plan --host SNAPSHOT' does, without the
    other guests; with --together, as if all guests came to every host.

    The best host is first: that on which it fits with the least to be done (nothing, rounding, shrinking the default
    group, moving groups), and then that with the fewest free ways left. Next are the hosts on which it would fit with
    options that are not given.

    With --assign every guest gets one host, so that as many as possible have one; then on as few hosts as possible.
    Each host with all its guests is planned as 'cachetune plan' does. The search is exact with the Python package
    ortools, else greedy. SIGINT ends it with the best so far.

    With --from, a guest moves from one host to another. The output is what its tuning becomes there, what is left out
    by which rule, the difference of the two tuning files, and whether it fits. Sizes are rounded up unless --round is
    given.

    \b
    Examples:
      cachetune fit web.xml snapshots/
      cachetune fit --shrink-default --round up web.xml db.xml snapshots/
      cachetune fit --json web.xml snapshots/ | jq '.guests[0].hosts[0]'
      cachetune fit web.xml sim:skylake-2s sim:milan
      cachetune fit --assign --vars fleet.yml guests/*.xml snapshots/
      cachetune fit --from node7.json --guest web node8.json -o web.xml
    """
    if values["move_from"]:
        check_no_assignment(values, beside="--from")
        check_one_host({"--together": together, "--spread": spread, "--all": every})
        show_move(files, values, stale_seconds=parse_span(stale), as_json=as_json)
    check_no_move(values)
    wanted = options.plan_options({**values, "host": "snapshots"})  # the policy of this host is not theirs
    if values["assign"]:
        if together:
            raise InputError("--together cannot be given with --assign", hint="--assign places all guests together")
        if every:
            raise InputError("--all cannot be given with --assign", hint="all guests are listed")
        shown = {**values, "spread": spread, "as_json": as_json}
        show_assignment(files, wanted, shown, stale_seconds=parse_span(stale))
    check_no_assignment(values)
    found = fit_guests(
        files,
        wanted,
        spread=spread,
        together=together,
        stale_seconds=parse_span(stale),
        progress=_progress if sys.stderr.isatty() else None,
    )
    show_unusable(found.unusable)
    check_asked(found.guests, found.hosts)
    show_warnings(fit_notes(found))
    if as_json:
        print_document(found)
    else:
        for guest in found.guests:
            show_findings(guest.warnings, guest.file)
        show(fit_page(found, None if every else best))
    sys.exit(found.exit_code)


def _progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
    from cachetune.cli.show.progress import progress

    return progress("Asking hosts", total)
