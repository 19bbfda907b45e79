"""``cachetune uninstall``: remove what ``cachetune install`` has written."""

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
from cachetune.install import PARTS, Place, uninstall
from cachetune.install.parts import NAMED, selected


@click.command(
    "uninstall",
    cls=Verb,
    exit_codes={
        0: "removed, or nothing to do",
        1: "a file was kept, because it was edited or its unit is enabled",
        2: "could not run",
    },
)
@option("--agent", is_flag=True, heading="What", help="The unit of the agent.")
@option("--hook", is_flag=True, heading="What", help="The hook of libvirt.")
@option("--exporter", is_flag=True, heading="What", help="The unit of the exporter.")
@option("--recorder", is_flag=True, heading="What", help="The unit of the recorder.")
@option("--mount", is_flag=True, heading="What", help="The unit that mounts resctrl.")
@option("--logrotate", is_flag=True, heading="What", help="The rotation of the change log.")
@option("--force", is_flag=True, heading="How", help="Also remove installed files that were edited.")
@options.stack(options.dry_run, options.prefix, options.unit_dir, options.as_json)
def command(*, force: bool, dry_run: bool, prefix: Path, unit_dir: str, as_json: bool, **flags: Any) -> None:
    """Remove the files that 'cachetune install' has written: all of them, or those that are named.

    Files that were edited are kept and named, and so are units that are enabled.

    \b
    Examples:
      cachetune uninstall --dry-run
      cachetune uninstall
      cachetune uninstall --hook
    """
    names = frozenset(name for name in NAMED if flags[name])
    if not prefix.is_dir():
        raise InputError(f"there is no directory {prefix}")
    place = Place(Path(os.path.realpath(prefix)), PurePosixPath(unit_dir))
    done = uninstall(selected(names) if names else PARTS, place, force=force, dry_run=dry_run)
    print_document(done) if as_json else show_installation(done)
    sys.exit(done.exit_code)
