"""``cachetune schema``: the schemas of XML input and JSON output."""

from pathlib import Path
from typing import Any

import click

from cachetune.cli.verb import Verb
from cachetune.domain.xml.schema import schema_path

_XML = {"rng": "domain.rng", "xsd": "domain.xsd", "cachetune-rng": "cachetune.rng", "cachetune-xsd": "cachetune.xsd"}
_JSON = (
    "plan",
    "refusal",
    "host",
    "usage",
    "readings",
    "report",
    "findings",
    "rules",
    "guests",
    "exported",
    "drift",
    "agent",
    "doctor",
    "change",
    "changes",
    "advice",
    "measured",
    "ranking",
    "policy",
)


@click.command("schema", cls=Verb, exit_codes={0: "printed", 2: "no such schema"})
@click.argument("name", type=click.Choice([*_XML, *_JSON]), metavar="NAME")
def command(name: str) -> None:
    """Print the schema of a document.

    \b
    XML that cachetune reads:
      rng, xsd                      a libvirt domain (they include the next two)
      cachetune-rng, cachetune-xsd  cachetune, memorytune and energytune alone
    JSON that it prints, as JSON Schema:
      plan, refusal, host, usage (of show), readings (of monitor), report,
      findings, rules, guests, drift (of diff --all-guests), exported, agent,
      doctor, change (a line of the change log), changes (of log),
      advice (of advise), measured (of advise --measure), ranking (of noisy)
    TOML that it reads, as JSON Schema:
      policy (host.toml)

    \b
    Examples:
      cachetune schema cachetune-xsd > cachetune.xsd
      cachetune schema plan
    """
    if name in _XML:
        click.echo(Path(schema_path(_XML[name])).read_bytes(), nl=False)
        return
    import msgspec

    from cachetune.documents import schema

    click.echo(msgspec.json.format(msgspec.json.encode(schema(_kind(name))), indent=2) + b"\n", nl=False)


def _kind(name: str) -> Any:
    from cachetune.agent.model import AgentStatus
    from cachetune.apply.report import Report
    from cachetune.apply.state.change_log import Change
    from cachetune.doctor.model import Diagnosis
    from cachetune.findings import Findings, Refusal, RuleTable
    from cachetune.host.model import Host
    from cachetune.host.usage import HostUsage
    from cachetune.plan.model import Plan
    from cachetune.service.advise import Advice
    from cachetune.service.change_log import ChangeLog
    from cachetune.service.drift import Drift
    from cachetune.service.export import Exported
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
        RuleTable,
        Guests,
        Exported,
        Drift,
        AgentStatus,
        Diagnosis,
        Change,
        ChangeLog,
        Advice,
        Measured,
        Ranking,
        PolicyFile,
    )
    return dict(zip(_JSON, kinds, strict=True))[name]
