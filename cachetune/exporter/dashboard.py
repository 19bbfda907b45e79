"""The dashboard of hosts one by one: examples/grafana/cachetune.json, what ``cachetune exporter --dashboard`` prints.

Every query is over what the exporter exports, without recording rules, so that the dashboard works alone.
"""

from cachetune.exporter.grafana import Dashboard, Panel, Query, Row

_HOST = 'instance=~"$instance"'
_GUEST = f'{_HOST}, guest=~"$guest"'


def _rate(metric: str, labels: str) -> str:
    return f"sum without (node) (rate({metric}{{{labels}}}[$__rate_interval]))"


_TRAFFIC = "cachetune_group_memory_bytes_total"
_OCCUPANCY = "sum without (node) (cachetune_group_llc_occupancy_bytes{{{}}})".format
_NAMED = "{{guest}} {{group}} · cache {{cache_id}}"
_CACHE = "{{resource}} {{cache_id}}"

_ROWS = (
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

HOSTS = Dashboard(
    uid="cachetune",
    title="cachetune",
    about="Cache and memory bandwidth of guests, from cachetune exporter.",
    rows=_ROWS,
    # the guest "" is the groups of no guest
    variables={
        "instance": "label_values(cachetune_up, instance)",
        "guest": "label_values(cachetune_group_info, guest)",
    },
)
