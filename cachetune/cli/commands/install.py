"""``cachetune install``: write systemd's units, libvirt's hook and the files beside them."""

import os
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.console import print_document
from cachetune.cli.show.installation import show_installation
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.install import Place, find_program, install
from cachetune.install.parts import NAMED, READERS, parse_mount_options, selected
from cachetune.install.program import NO_PROGRAM


@click.command(
    "install",
    cls=Verb,
    exit_codes={
        0: "installed, or nothing to do",
        1: "a file was kept, because it was edited or cachetune did not write it",
        2: "could not run, nothing was written",
    },
)
@option("--agent", is_flag=True, heading="What", help="The service that keeps guests placed.")
@option(
    "--hook", is_flag=True, heading="What", help="The hook of libvirt, which checks and places a guest at its start."
)
@option("--exporter", is_flag=True, heading="What", help="The service that exports metrics to Prometheus.")
@option("--recorder", is_flag=True, heading="What", help="The service that keeps a history, for report and noisy.")
@option(
    "--mount",
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[OPTIONS]",
    heading="What",
    help="The unit that mounts resctrl at boot, with any of cdp, cdpl2 and mba_MBps, such as cdp,mba_MBps.",
)
@option("--logrotate", is_flag=True, heading="What", help="The rotation of the change log.")
@option("--force", is_flag=True, heading="How", help="Replace files that were edited or not written by cachetune.")
@options.stack(options.dry_run, options.prefix, options.unit_dir)
@option(
    "--program",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    heading="Where",
    help="The cachetune that the units start (default: this one).",
)
@options.as_json
def command(
    *, force: bool, dry_run: bool, prefix: Path, unit_dir: str, program: Path | None, as_json: bool, **parts: Any
) -> None:
    """Write systemd's units, libvirt's hook and the files beside them, with the path of this program.

    Options of the services and of the hook are in /etc/default/cachetune, which comes with them. Files that were
    edited are kept. Nothing is enabled or started: the commands to run next are printed.

    \b
    Examples:
      cachetune install --agent --mount
      cachetune install --mount cdp,mba_MBps --dry-run
      cachetune install --hook --exporter --recorder --logrotate
      cachetune install --agent --prefix image/ --program /usr/bin/cachetune
    """
    names = frozenset(name for name in NAMED if parts[name] not in (None, False))
    if not names:
        click.echo(click.get_current_context().get_help(), err=True)
        *first, last = (f"--{name}" for name in NAMED)
        raise InputError("nothing to install was named", hint=f"pass {', '.join(first)} or {last}")
    root = Path(os.path.realpath(prefix))
    done = install(
        selected(names),
        find_program(program, root) if program or names & READERS else NO_PROGRAM,
        Place(root, PurePosixPath(unit_dir)),
        mount_options=parse_mount_options(parts["mount"] or ""),
        force=force,
        dry_run=dry_run,
    )
    print_document(done) if as_json else show_installation(done)
    sys.exit(done.exit_code)
