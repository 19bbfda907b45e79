"""Write a guest's tuning file together with a change of the host: staged before the first step, in place at the end.

So a file that cannot be written stops the change before it starts, and a change that fails leaves the old file.
"""

import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.cli.show.findings import show_error, show_warnings
from cachetune.cli.streams import read_or_not
from cachetune.domain import SCHEMA, Head, head_of, tuning_text
from cachetune.domain.model import Domain
from cachetune.errors import InputError
from cachetune.guests.tuning_files import head_in, stage_tuning_file
from cachetune.host.model import Host
from cachetune.plan.model import Plan
from cachetune.text import printable
from cachetune.units import Rounding

if TYPE_CHECKING:
    from cachetune.files import StagedFile


class Saving:
    """The tuning file of a guest in ``directory``; None saves nothing.

    It begins as ``document`` does, or else as the old file. ``schema`` is the one that it names, "" for none; None
    keeps the one that it names already.
    """

    def __init__(self, directory: Path | None, schema: str | None = None, document: bytes | None = None) -> None:
        self._directory, self._schema, self._document = directory, schema, document
        self._staged: StagedFile | None = None

    def stage(self, domain: Domain) -> None:
        """Write the new file beside the old one. Raises InputError and UnwritableFileError."""
        if self._directory is None:
            return
        if domain.id is not None:
            raise InputError(
                f"guest {domain.name!r} has its tuning from its live XML, which --save does not change",
                hint="omit --save and use 'virsh edit', or remove <cputune>'s tuning there first",
            )
        head = head_in(self._directory, domain.name) if self._document is None else head_of(self._document)
        text = tuning_text(domain, naming(head, self._schema))
        self._staged = stage_tuning_file(domain.name, text, self._directory)

    def rounded(self, planner: Planner, rounding: Rounding | None) -> Planner:
        """The planner, which warns if --round changes values of the request, which is saved as it was written."""

        def plan_and_warn(host: Host, ledger: Ledger) -> Plan:
            plan = planner(host, ledger)
            if self._staged and rounding and any(group.rounded_from for group in plan.groups):
                why = f"the tuning file has the request as it was written, and --round {rounding} changes it"
                show_warnings([f"{why}: give the agent and the hook this option as well"])
            return plan

        return plan_and_warn

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Put the file in place if the verb exits with 0, and say so."""
        if self._staged is None:
            return
        if not (isinstance(error, SystemExit) and error.code == 0):
            self._staged.discard()
            return
        try:
            self._staged.commit()
        except OSError as failure:
            self._staged.discard()
            show_error(f"the change is made, but {self._staged.path} is not: {failure.strerror}")
            sys.exit(1)
        with read_or_not():
            click.echo(f"Saved {printable(str(self._staged.path))}.", err=True)


def naming(head: Head, schema: str | None) -> Head:
    """The head with the schema of --schema; without the option, one that names a schema stays as it is."""
    if schema is None:
        return head if head.names_schema else head.naming(SCHEMA)
    return head.naming(schema)
