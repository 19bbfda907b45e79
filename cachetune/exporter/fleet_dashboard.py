"""The dashboard of many hosts: examples/grafana/cachetune-fleet.json, what ``exporter --fleet-dashboard`` prints.

Its queries are over the recording rules of examples/prometheus/cachetune-fleet.rules.yml where a query over the
exporter's series would read one for each group and cache of each host. No panel draws more than ``_MOST`` series.
"""

from cachetune.exporter.grafana import Dashboard, Panel, Query, Row

_MOST = 20
_HOST = 'instance=~"$instance"'
_THIS_HOST = "/d/cachetune?var-instance=${__field.labels.instance}"
_ON = "{{guest}} on {{instance}}"


def _top(expr: str) -> str:
    return f"topk({_MOST}, {expr})"


def _by_resource(metric: str) -> str:
    return f"sum by (resource) ({metric}{{{_HOST}}})"


def _or_zero(expr: str) -> str:
    """The expression, 0 where nothing is counted because there is nothing to count."""
    return f"{expr} or vector(0)"


_ROWS = (
    Row(
        "Now",
        (
            Panel(
                "Hosts",
                "Hosts whose resctrl is read, those whose exporter reads none, and those that cannot be scraped.",
                "none",
                (
                    Query(f"count(cachetune_up{{{_HOST}}} == 1)", "read"),
                    Query(_or_zero(f"count(cachetune_up{{{_HOST}}} == 0)"), "no resctrl"),
                    Query(_or_zero(f'count(up{{job="cachetune", {_HOST}}} == 0)'), "down"),
                ),
                "stat",
                6,
            ),
            Panel(
                "Guests",
                "Running guests that a host knows.",
                "none",
                (Query(f"sum(cachetune:host_guests:count{{{_HOST}}})", "guests"),),
                "stat",
                3,
            ),
            Panel(
                "Drifted",
                "Guests that do not have what was requested for them.",
                "none",
                (Query(_or_zero(f"sum(cachetune:host_drifted_guests:sum{{{_HOST}}})"), "guests"),),
                "stat",
                3,
            ),
            Panel(
                "Refused",
                "Guests that cannot be placed: for lack of room, and for any other reason.",
                "none",
                (
                    Query(
                        _or_zero(f'sum(cachetune:host_refused_guests:count{{lacks!="", {_HOST}}})'),
                        "no room",
                    ),
                    Query(_or_zero(f'sum(cachetune:host_refused_guests:count{{lacks="", {_HOST}}})'), "other"),
                ),
                "stat",
                6,
            ),
            Panel(
                "Firing alerts",
                "Alerts of the example rules that fire.",
                "none",
                (
                    Query(
                        _or_zero(
                            f'count by (alertname) (ALERTS{{alertname=~"Cachetune.*", alertstate="firing", {_HOST}}})'
                        ),
                        "{{alertname}}",
                    ),
                ),
                "stat",
                6,
            ),
        ),
    ),
    Row(
        "Room",
        (
            Panel(
                "Ways of all hosts",
                "Ways that no group has, and those of the default group, which --shrink-default takes from.",
                "none",
                (
                    Query(_by_resource("cachetune:host_free_ways:sum"), "{{resource}} free"),
                    Query(_by_resource("cachetune:host_default_ways:sum"), "{{resource}} default group"),
                    Query(_by_resource("cachetune:host_ways:sum"), "{{resource}} all"),
                ),
            ),
            Panel(
                "Hosts by largest hole",
                "How many hosts have this many contiguous free ways in a cache: with 3, a request of 3 ways fits.",
                "none",
                (
                    Query(
                        f'count_values by (resource) ("ways", cachetune:host_largest_hole_ways:max{{{_HOST}}})',
                        "{{resource}}: {{ways}}",
                    ),
                ),
                "bargauge",
            ),
            Panel(
                "Free ways by host",
                f"The {_MOST} hosts with the fewest ways that are free or the default group's.",
                "none",
                (
                    Query(
                        f"bottomk({_MOST}, cachetune:host_free_ways:sum{{{_HOST}}} + cachetune:host_default_ways:sum)",
                        "{{instance}} {{resource}}",
                    ),
                ),
                "bargauge",
                link=_THIS_HOST,
            ),
            Panel(
                "CLOSIDs left by host",
                f"The {_MOST} hosts with the fewest: without one there can be no further control group.",
                "none",
                (Query(f"bottomk({_MOST}, cachetune:host_closids_left{{{_HOST}}})", "{{instance}}"),),
                "bargauge",
                link=_THIS_HOST,
            ),
            Panel(
                "No-room refusals",
                "Guests that a host has too few ways, CLOSIDs or RMIDs for.",
                "none",
                (
                    Query(
                        f'sum by (instance, lacks) (cachetune:host_refused_guests:count{{lacks!="", {_HOST}}})',
                        "{{instance}}: {{lacks}}",
                    ),
                ),
                link=_THIS_HOST,
            ),
            Panel(
                "Refusals by rule",
                "All refusals. cachetune explain has each rule.",
                "none",
                (Query(f"count by (rule) (cachetune_guest_refused{{{_HOST}}})", "{{rule}}"),),
            ),
        ),
    ),
    Row(
        "Drift",
        (
            Panel(
                "Drifted guests by host",
                "Guests that do not have what was requested for them.",
                "none",
                (Query(_top(f"cachetune:host_drifted_guests:sum{{{_HOST}}} > 0"), "{{instance}}"),),
                link=_THIS_HOST,
            ),
            Panel(
                "Guests by state",
                "The request of each running guest.",
                "none",
                (Query(f"count by (state) (cachetune_guest_state{{{_HOST}}})", "{{state}}"),),
            ),
        ),
    ),
    Row(
        "Noisy guests",
        (
            Panel(
                "Memory traffic by guest",
                f"The {_MOST} guests with the most.",
                "Bps",
                (Query(_top(f"cachetune:guest_memory_bytes:rate5m{{{_HOST}}}"), _ON),),
                link=_THIS_HOST,
            ),
            Panel(
                "Part of the traffic of a cache",
                "Of the cache where it is largest. A guest that is far above the others there may slow them down.",
                "percentunit",
                (Query(_top(f"cachetune:guest_memory_share:max{{{_HOST}}}"), _ON),),
                max=1,
                link=_THIS_HOST,
            ),
            Panel(
                "Guests that fill least of their ways",
                "With much traffic, others evict their data; without, they do not need the ways.",
                "percentunit",
                (Query(f"bottomk({_MOST}, cachetune:guest_fill:ratio{{{_HOST}}})", _ON),),
                link=_THIS_HOST,
            ),
            Panel(
                "Memory traffic by host",
                f"The {_MOST} hosts with the most.",
                "Bps",
                (Query(_top(f"cachetune:host_memory_bytes:rate5m{{{_HOST}}}"), "{{instance}}"),),
                link=_THIS_HOST,
            ),
        ),
    ),
    Row(
        "Exporters",
        (
            Panel(
                "Samples of a scrape",
                f"All exporters together, and the {_MOST} largest.",
                "none",
                (
                    Query(f'sum(scrape_samples_scraped{{job="cachetune", {_HOST}}})', "all"),
                    Query(_top(f'scrape_samples_scraped{{job="cachetune", {_HOST}}}'), "{{instance}}"),
                ),
                width=8,
                link=_THIS_HOST,
            ),
            Panel(
                "Slowest scrapes",
                "How long a scrape takes; those that compare the guests take longest.",
                "s",
                (Query(_top(f'scrape_duration_seconds{{job="cachetune", {_HOST}}}'), "{{instance}}"),),
                width=8,
                link=_THIS_HOST,
            ),
            Panel(
                "Versions",
                "Hosts by version of the exporter.",
                "none",
                (Query(f"count by (version) (cachetune_build_info{{{_HOST}}})", "{{version}}"),),
                width=8,
            ),
        ),
    ),
)

FLEET = Dashboard(
    uid="cachetune-fleet",
    title="cachetune fleet",
    about="Room, drift, refusals and noisy guests of many hosts, from cachetune exporter and its recording rules.",
    rows=_ROWS,
    variables={"instance": "label_values(cachetune_up, instance)"},
)
