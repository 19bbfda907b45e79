"""``cachetune exporter``: export metrics to Prometheus."""

import os
from pathlib import Path
from typing import Any

import click

from cachetune.cli import options
from cachetune.cli.show.stderr_log import log_to_stderr
from cachetune.cli.verb import Verb, option
from cachetune.errors import InputError
from cachetune.exporter.dashboard import HOSTS
from cachetune.exporter.fleet_dashboard import FLEET
from cachetune.exporter.http import Address, Tls
from cachetune.exporter.samples import MAX_GROUPS
from cachetune.exporter.serve import Setup, run_exporter

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "exporter",
    cls=Verb,
    exit_codes={0: "stopped by a signal; with --once or a dashboard: written", 2: "could not start"},
)
@option(
    "--listen",
    metavar="HOST:PORT",
    heading="Output",
    help="Serve the metrics over HTTP (default: 127.0.0.1:9751, without --textfile).",
)
@option(
    "--textfile",
    type=_FILE,
    metavar="FILE",
    heading="Output",
    help="Write the metrics to FILE at every interval, for node_exporter's textfile collector.",
)
@option("--once", is_flag=True, heading="Output", help="Write FILE once and exit.")
@option(
    "--max-groups",
    type=click.IntRange(min=1),
    default=MAX_GROUPS,
    show_default=True,
    metavar="N",
    heading="Output",
    help="Export at most N groups, and as many guests; the number of others is a metric.",
)
@option(
    "--record", is_flag=True, heading="Output", help="Record into --db at every interval, as 'cachetune record' does."
)
@option("--tls-cert", type=_FILE, metavar="FILE", heading="Output", help="Serve HTTPS with this certificate (PEM).")
@option("--tls-key", type=_FILE, metavar="FILE", heading="Output", help="The certificate's key (PEM).")
@option(
    "--tls-client-ca",
    type=_FILE,
    metavar="FILE",
    heading="Output",
    help="Serve only clients with a certificate of this authority (PEM).",
)
@option("--dashboard", is_flag=True, heading="Output", help="Print a dashboard for Grafana and exit.")
@option(
    "--fleet-dashboard",
    is_flag=True,
    heading="Output",
    help="Print a dashboard of many hosts for Grafana and exit.",
)
@options.interval_option("Read the counters at most this often, for any number of scrapes.", default=5.0)
@options.stack(options.db, options.guests_d, options.finding, options.host, options.resctrl, options.sysfs, options.run)
def command(**values: Any) -> None:
    """Export metrics of groups, caches, guests and the agent to Prometheus.

    Reads the counters when it is scraped, never more often than --interval. What cannot be read is absent, never 0, and
    counted by reason. It needs no root and writes nothing to resctrl. Requires the extra 'metrics'.

    \b
    Examples:
      cachetune exporter
      cachetune exporter --listen 0.0.0.0:9751 --tls-cert a.pem --tls-key a.key
      cachetune exporter --dashboard > dashboard.json
      cachetune exporter --textfile cachetune.prom --interval 15
    """
    if values["dashboard"] or values["fleet_dashboard"]:
        if values["dashboard"] and values["fleet_dashboard"]:
            raise InputError("two dashboards are two files", hint="pass --dashboard or --fleet-dashboard")
        click.echo((HOSTS if values["dashboard"] else FLEET).json(), nl=False)
        return
    options.check_interval(values["interval"], force=values["force"])
    textfile, once = values["textfile"], values["once"]
    if once and values["record"]:
        raise InputError("--once does not record", hint="omit --record, or run 'cachetune record --count 1'")
    if once and (textfile is None or values["listen"]):
        raise InputError("--once writes a file and does not listen", hint="pass --textfile FILE, without --listen")
    listen = values["listen"] or (None if textfile else "127.0.0.1:9751")
    tls = _tls(values["tls_cert"], values["tls_key"], values["tls_client_ca"])
    if tls and listen is None:
        raise InputError("a file is not served over HTTPS", hint="pass --listen HOST:PORT, too, or no certificate")
    setup = Setup(
        location=options.location(values),
        selection=options.selection(values),
        interval=values["interval"],
        max_groups=values["max_groups"],
        address=Address.parse(listen) if listen else None,
        tls=tls,
        textfile=textfile,
        once=once,
        db=values["db"] if values["record"] else None,
    )
    run_exporter(setup, log_to_stderr(os.environ), os.environ)


def _tls(cert: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    if cert is None and key is None and client_ca is None:
        return None
    if cert is None or key is None:
        raise InputError(
            "a certificate and its key are required for HTTPS", hint="pass --tls-cert FILE and --tls-key FILE"
        )
    return Tls(cert, key, client_ca)
