"""``cachetune schema``: the schemas of XML input and JSON output."""

from pathlib import Path
from typing import Any

import click

from cachetune.cli.show.console import write_document
from cachetune.cli.verb import Verb, option
from cachetune.domain.xml.schema import schema_path
from cachetune.errors import InputError

_XML = {"rng": "domain.rng", "xsd": "domain.xsd", "cachetune-rng": "cachetune.rng", "cachetune-xsd": "cachetune.xsd"}
_BUNDLES = ("rng", "xsd", "rnc")
_JSON = (
    "plan",
    "refusal",
    "host",
    "usage",
    "readings",
    "report",
    "findings",
    "fit",
    "assignment",
    "rules",
    "guests",
    "exported",
    "drift",
    "comparison",
    "moved",
    "agent",
    "doctor",
    "change",
    "changes",
    "advice",
    "measured",
    "ranking",
    "policy",
    "installation",
)


@click.command("schema", cls=Verb, exit_codes={0: "printed", 2: "no such schema, or FILE could not be written"})
@click.argument("name", type=click.Choice([*_XML, *_JSON]), metavar="[NAME]", required=False)
@option(
    "--bundle",
    type=click.Choice(_BUNDLES),
    metavar="LANGUAGE",
    help="For editors: one file for domain XML and tuning files, with documentation. RELAX NG (rng, or rnc for Emacs) "
    "or XML Schema 1.0 (xsd).",
)
@option("-o", "--output", metavar="FILE", default="-", help="Write to a file (default: standard output).")
def command(name: str | None, bundle: str | None, output: str) -> None:
    """Print the schema of a document.

    \b
    XML that cachetune reads:
      rng, xsd                      a libvirt domain (they include the next two)
      cachetune-rng, cachetune-xsd  cachetune, memorytune and energytune alone
    JSON that it prints, as JSON Schema:
      plan, refusal, host, usage (of show), readings (of monitor), report,
      findings, fit, assignment (of fit --assign), moved (of fit --from),
      comparison (of diff-hosts), rules, guests, drift (of diff --all-guests),
      exported, agent,
      doctor, change (a line of the change log), changes (of log),
      advice (of advise), measured (of advise --measure), ranking (of noisy),
      installation (of install and uninstall)
    TOML that it reads, as JSON Schema:
      policy (host.toml)

    \b
    Examples:
      cachetune schema --bundle rng -o cachetune.rng
      cachetune schema plan
    """
    if bundle and not name:
        data = _bundle(bundle)
    elif name and not bundle:
        data = Path(schema_path(_XML[name])).read_bytes() if name in _XML else _json(name)
    else:
        raise InputError("pass either NAME or --bundle", hint="'cachetune schema --help' lists the names")
    write_document(data, output)


def _bundle(language: str) -> bytes:
    from cachetune.domain.xml import bundle

    make = {"rng": bundle.relaxng_bundle, "xsd": bundle.xsd_bundle, "rnc": bundle.compact_bundle}
    return make[language]()


def _json(name: str) -> bytes:
    import msgspec

    from cachetune.documents import schema

    return msgspec.json.format(msgspec.json.encode(schema(_kind(name))), indent=2) + b"\n"


def _kind(name: str) -> Any:
    from cachetune.agent.model import AgentStatus
    from cachetune.apply.report import Report
    from cachetune.apply.state.change_log import Change
    from cachetune.doctor.model import Diagnosis
    from cachetune.explain.model import RuleTable
    from cachetune.findings import Findings, Refusal
    from cachetune.fleet.assign.model import FleetAssignment
    from cachetune.fleet.compare import Comparison
    from cachetune.fleet.model import FleetFit
    from cachetune.host.model import Host
    from cachetune.host.usage import HostUsage
    from cachetune.install import Installation
    from cachetune.plan.model import Plan
    from cachetune.service.advise import Advice
    from cachetune.service.change_log import ChangeLog
    from cachetune.service.drift import Drift
    from cachetune.service.export import Exported
    from cachetune.service.move import MovedGuest
    from cachetune.service.policy import PolicyFile
    from cachetune.service.status import Guests
    from cachetune.service.suggest import Measured
    from cachetune.watch import Readings
    from cachetune.watch.ranking import Ranking

    kinds = (
        Plan,
        Refusal,
        Host,
        HostUsage,
        Readings,
        Report,
        Findings,
        FleetFit,
        FleetAssignment,
        RuleTable,
        Guests,
        Exported,
        Drift,
        Comparison,
        MovedGuest,
        AgentStatus,
        Diagnosis,
        Change,
        ChangeLog,
        Advice,
        Measured,
        Ranking,
        PolicyFile,
        Installation,
    )
    return dict(zip(_JSON, kinds, strict=True))[name]
