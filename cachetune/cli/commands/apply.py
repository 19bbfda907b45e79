"""``cachetune apply``: carry out a plan, or plan a domain and carry that out."""

from typing import Any

import click

from cachetune.apply.run import Planner
from cachetune.apply.state.ledger import Ledger
from cachetune.cli import options
from cachetune.cli.changing import EXIT_CODES, change, unplanned, within
from cachetune.cli.planning import source_name
from cachetune.cli.saving import Saving
from cachetune.cli.show.findings import show_warnings
from cachetune.cli.verb import Verb
from cachetune.domain.model import Domain
from cachetune.errors import InputError, PlanRefusedError
from cachetune.host.model import Host
from cachetune.plan.exclusive import all_exclusive
from cachetune.plan.model import Plan
from cachetune.plan.request import Options
from cachetune.service.connection import Location, connect
from cachetune.service.plans import is_saved_plan, planner_of, read_plan, within_policy
from cachetune.service.requests import Document, domain_to_save, make_requests, read_document
from cachetune.service.select import Selection


@click.command("apply", cls=Verb, exit_codes=EXIT_CODES)
@click.argument("file", required=False)
@options.stack(options.as_json, options.planning, options.consent, options.save, options.lock_timeout)
def command(
    *, file: str | None, yes: bool, dry_run: bool, save: bool, schema: str | None, as_json: bool, **values: Any
) -> None:
    """Carry out a plan: all of it, or nothing.

    FILE is a plan saved by 'cachetune plan -o', or domain XML, which is planned first. With --guest, FILE may be a
    tuning file or be omitted, as for plan. --all-guests makes one plan for all running guests. Prompts for confirmation
    on a terminal; without one, pass --yes. A saved plan is refused if the host has changed since. With --save, FILE
    becomes the guest's tuning file, from which the agent, the hook and every verb take its request.

    \b
    Examples:
      cachetune apply plan.json
      cachetune apply --guest web tuning.xml
      cachetune apply --dry-run --guest web tuning.xml
      cachetune apply --save --guest web tuning.xml
      cachetune apply --pid 4711 --shrink-default guest.xml
      cachetune apply --yes --json --pid 4711 guest.xml
    """
    location, selection, how = options.location(values), options.selection(values), options.plan_options(values)
    connection = connect(location)
    document = read_document(file)
    name = source_name(document, selection)
    if schema is not None and not save:
        raise InputError("--schema is for the tuning file", hint="pass --save, or omit --schema")
    into = selection.guests_d if save and not dry_run else None
    with Saving(into, schema, document.data if document else None) as saving:
        planner = within(how.policy, _planner(location, selection, document, how, name, saving if save else None))
        change(planner, connection, name, yes=yes, dry_run=dry_run, as_json=as_json, adopt=how.adopt)


def _planner(
    location: Location,
    selection: Selection,
    document: Document | None,
    how: Options,
    name: str,
    saving: Saving | None,
) -> Planner:
    """The planner: it returns the saved plan, or plans the XML on the host once the lock is held."""
    if document and is_saved_plan(document):
        if not selection.is_empty or how != Options(adopt=how.adopt, policy=how.policy) or saving:
            raise InputError(
                "a saved plan already names its guests and options", hint="pass them to 'cachetune plan' instead"
            )
        plan = read_plan(document)
        return lambda host, _ledger: within_policy(plan, host, how.policy)
    try:
        made = make_requests(selection, document, location)
    except PlanRefusedError as refused:
        raise unplanned(refused, name) from None
    show_warnings(made.notes)
    planner = planner_of(made.requests, how)
    if saving is None:
        return planner
    domain = domain_to_save(made, document, selection)
    planner = _also_saved(planner, all_exclusive(domain) if how.exclusive else domain, saving)
    return saving.rounded(planner, how.rounding)


def _also_saved(planner: Planner, domain: Domain, saving: Saving) -> Planner:
    """The planner, which prepares the tuning file once there is a plan."""

    def plan_and_stage(host: Host, ledger: Ledger) -> Plan:
        plan = planner(host, ledger)
        saving.stage(domain)
        return plan

    return plan_and_stage
