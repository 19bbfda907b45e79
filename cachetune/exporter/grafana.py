"""A Grafana dashboard: a table of panels, and the JSON that Grafana imports.

What is in ``dashboard`` and ``fleet_dashboard`` is data; its JSON, which is unreadable, is generated.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(msgspec.Struct, frozen=True):
    """One query, and the name of each of its series."""

    expr: str
    legend: str


class Panel(msgspec.Struct, frozen=True):
    """One panel: ``unit`` is Grafana's name of it, ``width`` in columns of 24. ``about`` says how to read it.

    ``link`` is where a click on a series leads.
    """

    title: str
    about: str
    unit: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    width: int = 12
    max: float | None = None
    link: str = ""


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """A dashboard. ``variables`` can be chosen above the panels: each with the query for its choices."""

    uid: str
    title: str
    about: str
    rows: tuple[Row, ...]
    variables: Mapping[str, str]

    def json(self) -> bytes:
        """The dashboard as Grafana imports it."""
        document = {
            "uid": self.uid,
            "title": self.title,
            "description": f"{self.about} Generated: do not edit.",
            "tags": ["cachetune", "resctrl"],
            "schemaVersion": 38,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [_DATASOURCE, *(_variable(*each) for each in self.variables.items())]},
            "panels": list(_panels(self.rows)),
        }
        return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"

    def queries(self) -> Iterator[str]:
        """Every query of the panels."""
        return (query.expr for row in self.rows for panel in row.panels for query in panel.queries)


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
    more: dict[str, Any] = {} if panel.max is None else {"max": panel.max}
    if panel.link:
        more["links"] = [{"title": "This host", "url": panel.link}]
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
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **more}, "overrides": []},
        "targets": targets,
    }
