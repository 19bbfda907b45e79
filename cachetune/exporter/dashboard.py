"""The Grafana dashboard: a table of panels, and the JSON that Grafana imports.

examples/grafana/cachetune.json is what ``cachetune exporter --dashboard`` prints. Every query is over what the exporter
exports, without recording rules, so that the dashboard works alone.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

_HOST = 'instance=~"$instance"'
_GUEST = f'{_HOST}, guest=~"$guest"'
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(msgspec.Struct, frozen=True):
    """One query, and the name of each of its series."""

    expr: str
    legend: str


class Panel(msgspec.Struct, frozen=True):
    """One panel: ``unit`` is Grafana's name of it, ``width`` in columns of 24. ``about`` says how to read it."""

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 12
    max: float | None = None


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


def _rate(metric: str, labels: str) -> str:
    return f"sum without (node) (rate({metric}{{{labels}}}[$__rate_interval]))"


_TRAFFIC = "cachetune_group_memory_bytes_total"
_OCCUPANCY = "sum without (node) (cachetune_group_llc_occupancy_bytes{{{}}})".format
_NAMED = "{{guest}} {{group}} · cache {{cache_id}}"
_CACHE = "{{resource}} {{cache_id}}"

ROWS = (
    Row(
        "Now",
        (
            Panel(
                "resctrl readable",
                "0: the exporter cannot read resctrl; its log has the reason.",
                "bool_yes_no",
                (Query(f"cachetune_up{{{_HOST}}}", "{{instance}}"),),
                "stat",
                4,
            ),
            Panel(
                "Agent running",
                "Without data no agent has run since the host started.",
                "bool_yes_no",
                (Query(f"cachetune_agent_up{{{_HOST}}}", "{{instance}}"),),
                "stat",
                4,
            ),
            Panel(
                "Interrupted run",
                "Yes: nothing can be applied until cachetune recover has run.",
                "bool_yes_no",
                (Query(f"cachetune_interrupted_run{{{_HOST}}}", "{{instance}}"),),
                "stat",
                4,
            ),
            Panel(
                "Guests by state",
                "Drifted guests do not have what was requested for them; refused ones cannot be placed.",
                "none",
                (Query(f"count by (state) (cachetune_guest_state{{{_HOST}}})", "{{state}}"),),
                "stat",
                6,
            ),
            Panel(
                "CLOSIDs and RMIDs used",
                "Without a CLOSID there can be no further control group, without an RMID no further group at all.",
                "percentunit",
                (
                    Query(f"cachetune_closids_used{{{_HOST}}} / cachetune_closids_limit", "CLOSIDs"),
                    Query(f"cachetune_rmids_used{{{_HOST}}} / cachetune_rmids_limit", "RMIDs"),
                ),
                "bargauge",
                6,
                1,
            ),
        ),
    ),
    Row(
        "Cache",
        (
            Panel(
                "Occupancy",
                "Bytes of each cache that hold a group's data.",
                "bytes",
                (Query(_OCCUPANCY(_GUEST), _NAMED),),
            ),
            Panel(
                "Full",
                "Occupancy compared with the ways that the group can fill: near 100 % it may want more, near 0 % it "
                "does not use them, or others do. Over 100 % its mask has shrunk.",
                "percentunit",
                (Query(f"{_OCCUPANCY(_GUEST)} / cachetune_group_reachable_bytes{{{_GUEST}}}", _NAMED),),
            ),
            Panel(
                "Ways",
                "Ways in each group's mask.",
                "none",
                (Query(f"cachetune_group_ways{{{_GUEST}}}", "{{guest}} {{group}} · {{resource}} {{cache_id}}"),),
            ),
            Panel(
                "Ways shared with other groups",
                "Others can evict what a group has in these.",
                "none",
                (Query(f"cachetune_group_shared_ways{{{_GUEST}}}", "{{guest}} {{group}} · {{resource}} {{cache_id}}"),),
            ),
            Panel(
                "Free ways",
                "Ways of each cache that no group has, and the largest request that fits.",
                "none",
                (
                    Query(f"cachetune_cache_free_ways{{{_HOST}}}", f"free · {_CACHE}"),
                    Query(f"cachetune_cache_largest_hole_ways{{{_HOST}}}", f"largest hole · {_CACHE}"),
                ),
            ),
            Panel(
                "Idle ways",
                "Free ways that are kept for no guest. cachetune show names the command that returns them.",
                "none",
                (Query(f"cachetune_cache_idle_ways{{{_HOST}}}", _CACHE),),
            ),
        ),
    ),
    Row(
        "Memory bandwidth",
        (
            Panel(
                "Memory traffic",
                "Bytes per second between each cache and memory, by group.",
                "Bps",
                (Query(_rate(_TRAFFIC, _GUEST), _NAMED),),
            ),
            Panel(
                "Part of the traffic of its cache",
                "A group that is far above the others may slow them down.",
                "percentunit",
                (
                    Query(
                        f"{_rate(_TRAFFIC, _GUEST)} / ignoring (guest, group, vcpus) group_left () (sum without "
                        f"(guest, group, vcpus, node) (rate({_TRAFFIC}{{{_HOST}}}[$__rate_interval])) > 0)",
                        _NAMED,
                    ),
                ),
                max=1,
            ),
            Panel(
                "Local memory traffic",
                "The part that goes to memory of the cache's own NUMA node.",
                "Bps",
                (Query(_rate("cachetune_group_memory_local_bytes_total", _GUEST), _NAMED),),
            ),
            Panel(
                "Bandwidth limits",
                "1 is unlimited. On AMD and with mba_MBps limits are absolute: "
                "cachetune_group_bandwidth_limit_bytes_per_second.",
                "percentunit",
                (
                    Query(
                        f"cachetune_group_bandwidth_limit_ratio{{{_GUEST}}}",
                        "{{guest}} {{group}} · {{resource}} {{cache_id}}",
                    ),
                ),
            ),
        ),
    ),
    Row(
        "Guests",
        (
            Panel(
                "Drift",
                "1: the host differs from what was requested for the guest.",
                "none",
                (Query(f"cachetune_guest_drifted{{{_GUEST}}}", "{{guest}}"),),
            ),
            Panel(
                "The agent's guests",
                "The state of each guest that the agent manages.",
                "none",
                (Query(f"count by (state) (cachetune_agent_guest_state{{{_HOST}}})", "{{state}}"),),
            ),
        ),
    ),
    Row(
        "Exporter",
        (
            Panel(
                "Counters by state",
                "Counters without a value keep the kernel's word for it.",
                "none",
                (Query(f"sum by (event, state) (cachetune_counters{{{_HOST}}})", "{{event}} {{state}}"),),
                width=8,
            ),
            Panel(
                "Scrape errors",
                "Parts of the host that could not be read.",
                "none",
                (
                    Query(
                        f"sum by (reason) (increase(cachetune_scrape_errors_total{{{_HOST}}}[$__rate_interval]))",
                        "{{reason}}",
                    ),
                ),
                width=8,
            ),
            Panel(
                "Duration of a reading",
                "Each counter that is read interrupts a CPU of its cache.",
                "s",
                (Query(f"cachetune_reading_duration_seconds{{{_HOST}}}", "{{instance}}"),),
                width=8,
            ),
        ),
    ),
)

VARIABLES = {"instance": "label_values(cachetune_up, instance)", "guest": "label_values(cachetune_group_info, guest)"}
"""What can be chosen above the panels, and the query for the choices. The guest "" is the groups of no guest."""


def dashboard() -> bytes:
    """The dashboard as JSON."""
    document = {
        "uid": "cachetune",
        "title": "cachetune",
        "description": "Cache and memory bandwidth of guests, from cachetune exporter. Generated: do not edit.",
        "tags": ["cachetune", "resctrl"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_DATASOURCE, *(_variable(name, query) for name, query in VARIABLES.items())]},
        "panels": list(_panels(ROWS)),
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def queries() -> Iterator[str]:
    """Every query of the dashboard."""
    return (query.expr for row in ROWS for panel in row.panels for query in panel.queries)


_DATASOURCE = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": "A"},
        "definition": query,
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",  # also groups without the label
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    y, number = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "gridPos": _place(0, y, _COLUMNS, 1), "panels": []}
        x, y = 0, y + 1
        height = 5 if row.panels[0].kind == "stat" else 8
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y = 0, y + height
            number += 1
            yield _panel(panel, number, _place(x, y, panel.width, height))
            x += panel.width
        y += height


def _place(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    limits = {} if panel.max is None else {"max": panel.max}
    targets = [
        {
            "refId": chr(ord("A") + i),
            "datasource": _SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            "instant": panel.kind != "timeseries",
        }
        for i, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **limits}, "overrides": []},
        "targets": targets,
    }
