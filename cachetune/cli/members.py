"""Options that name vCPUs or other threads of a guest: ``--vcpus 0-3``, ``--threads iothreads:1``, ``--monitor 0``."""

from typing import Any

import click

from cachetune.cli.amounts import NONE
from cachetune.domain.threads import parse_threads
from cachetune.idset import parse_vcpus
from cachetune.service.members import Members


# Without a type argument, which older versions of click do not have.
class VcpuList(click.ParamType):  # type: ignore[type-arg]
    """A list of vCPUs as in XML: ``0-3,^2``."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members:
        """Convert the text, or fail with what is wrong with it."""
        try:
            vcpus = parse_vcpus(str(value))
        except ValueError as error:
            self.fail(f"{str(value)[:40]!r} is not a list of vCPUs such as 0-3,5: {error}", param, ctx)
        if not vcpus:
            self.fail(f"{str(value)[:40]!r} has no vCPU", param, ctx)
        return Members(vcpus)


class ThreadList(click.ParamType):  # type: ignore[type-arg]
    """A kind of threads as in a tuning file: ``emulator``, ``iothreads:1-2``."""

    name = "KIND"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members:
        """Convert the text, or fail with what is wrong with it."""
        try:
            return Members.of_threads(parse_threads(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Monitored(click.ParamType):  # type: ignore[type-arg]
    """A list of vCPUs, a kind of threads, or the word "none"."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Members | str:
        """Convert the text, or fail with what is wrong with it."""
        if value == NONE:
            return NONE
        return (ThreadList() if str(value)[:1].isalpha() else VcpuList()).convert(value, param, ctx)
