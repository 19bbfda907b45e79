"""``cachetune diff-hosts``: in what two hosts differ for tuning, with the exit codes of diff(1)."""

import sys

import click

from cachetune.cli import options
from cachetune.cli.show.comparison import comparison_page
from cachetune.cli.show.console import print_document, show
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb, option
from cachetune.service.compare import compare_hosts


@click.command("diff-hosts", cls=Verb, exit_codes={0: "no difference", 1: "differences", 2: "could not run"})
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@option("--groups", is_flag=True, help="Also compare what is in use: free ways, the default group, groups.")
@option("--all", "show_all", is_flag=True, help="Also show what does not differ.")
@options.as_json
def command(*, a: str, b: str, groups: bool, show_all: bool, as_json: bool) -> None:
    """Show in what two hosts differ for tuning.

    A and B are snapshots (- for standard input) or simulated hosts (sim:NAME). Compared are caches, bandwidth control,
    monitoring, limits, mount options, kernel and processor; then which sizes in bytes are whole ways on A but not on B.
    What is in use differs between any two hosts, so it is compared only with --groups.

    \b
    Examples:
      cachetune diff-hosts node7.json node8.json
      cachetune diff-hosts sim:skylake-2s sim:milan
      ssh node8 cachetune snapshot | cachetune diff-hosts node7.json -
    """
    compared = compare_hosts(a, b, groups=groups)
    show_warnings(compared.notes)
    if as_json:
        print_document(compared.comparison)
    else:
        show(comparison_page(compared.comparison, show_all=show_all))
    sys.exit(compared.comparison.exit_code)
