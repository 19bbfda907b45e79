"""``cachetune default``: set what the default group has, or undo that."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from cachetune.apply.run import Planner
from cachetune.cli import options
from cachetune.cli.amounts import BANDWIDTHS, CACHES, AmountType
from cachetune.cli.changing import EXIT_CODES, change, within
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.plan.policy import Policy
from cachetune.service.connection import connect
from cachetune.service.default_group import (
    DefaultValues,
    RateFor,
    SizeFor,
    default_planner,
    policy_planner,
    reset_planner,
)
from cachetune.units import Rate, Rounding, Size

F = TypeVar("F", bound=Callable[..., Any])


def _amounts(names: Mapping[str, str], kind: AmountType, what: str) -> Callable[[F], F]:
    """An option for each resource."""
    return options.stack(
        *(
            option(
                f"--{name}",
                type=kind,
                multiple=True,
                metavar=kind.name,
                heading="What",
                help=f"{what} {resource}. Repeatable.",
            )
            for name, resource in names.items()
        )
    )


@click.command("default", cls=Verb, exit_codes=EXIT_CODES)
@_amounts(CACHES, AmountType("SIZE", Size.parse), "Ways of")
@_amounts(BANDWIDTHS, AmountType("RATE", Rate.parse), "Bandwidth of")
@option("--reset", is_flag=True, heading="How", help="Bring back the values from before the first 'cachetune default'.")
@options.stack(options.rounding, options.consent, options.lock_timeout)
@options.stack(options.as_json, options.resctrl, options.sysfs, options.run, options.policy)
def command(*, reset: bool, yes: bool, dry_run: bool, as_json: bool, **values: Any) -> None:
    """Set the ways and the bandwidth of the default group: the host's services, and guests without tuning.

    Without values, it gets what the host's policy says. It keeps the ways that it has as far as possible, and gets only
    ways that no group has. What it gives up here is for guests to take without --shrink-default, and does not go back
    to it when they end. Prompts for confirmation on a terminal; without one, pass --yes.

    SIZE is 4ways, 30% or 6MiB; RATE is 50%, 500MiB/s, 6.25GB/s, or a number in the host's unit. ID is a cache id, or a
    node for bandwidth, or a list such as 0-3; without it, a value is for all of the host. Later values replace earlier
    ones.

    \b
    Examples:
      cachetune default --l3 4ways --mb 50%
      cachetune default --l3 0-1=30% --dry-run
      cachetune default --reset --yes
      cachetune default --policy host.toml
    """
    policy = options.host_policy(values)
    planner = within(policy, _planner(_values(values), policy, values["rounding"], reset=reset))
    connection = connect(options.location(values))
    change(planner, connection, "", yes=yes, dry_run=dry_run, as_json=as_json)


def _planner(values: DefaultValues, policy: Policy | None, rounding: Rounding | None, *, reset: bool) -> Planner:
    """The planner. Raises InputError for values and --reset together, and for neither without a policy."""
    if reset and values != DefaultValues():
        raise InputError("pass values, such as --l3 0=4ways, or --reset", hint="'cachetune show' has the values of now")
    if reset:
        return reset_planner(policy)
    if values != DefaultValues():
        return default_planner(values, rounding, policy)
    if policy is None:
        raise InputError(
            "no values are given, and there is no policy", hint="pass --l3 0=4ways, --reset or --policy FILE"
        )
    return policy_planner(policy)


def _values(options: Mapping[str, Any]) -> DefaultValues:
    sizes = (SizeFor(of, each.ids, each.amount) for name, of in CACHES.items() for each in options[name])
    rates = (RateFor(of, each.ids, each.amount) for name, of in BANDWIDTHS.items() for each in options[name])
    return DefaultValues(tuple(sizes), tuple(rates))
