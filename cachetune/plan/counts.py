"""What the steps of a plan add up to: its summary, and whether the host has enough CLOSIDs and RMIDs for them."""

from collections.abc import Iterable, Sequence

from cachetune.findings import Finding, Source
from cachetune.host.model import DEFAULT_GROUP, Host, is_monitor
from cachetune.plan.model import Summary, Usage
from cachetune.plan.rules import RULES
from cachetune.plan.steps import Step, effect_of
from cachetune.text import count


def summarize(steps: Iterable[Step], host: Host) -> Summary:
    """Count what the steps do, and what is in use after them."""
    effects = [effect_of(step) for step in steps]
    created = [effect.created for effect in effects if effect.created]
    removed = [effect.removed for effect in effects if effect.removed]
    written = {effect.written for effect in effects if effect.written}
    monitors = sum(map(is_monitor, created))
    closids = host.closids_used + (len(created) - monitors) - sum(not is_monitor(path) for path in removed)
    rmids = host.rmids_used + len(created) - len(removed) if host.monitors else 0
    return Summary(
        control_groups_created=len(created) - monitors,
        monitor_groups_created=monitors,
        groups_changed=len(written.difference(created)),
        groups_removed=len(removed),
        tasks_moved=len({tid for effect in effects for tid in effect.tids}),
        closids=Usage(closids, host.closids_total),
        rmids=Usage(rmids, host.rmids_total),
        settings_changed=len({effect.setting for effect in effects if effect.setting}),
    )


def limit_findings(steps: Sequence[Step], host: Host, at: Source) -> list[Finding]:
    """CLOSIDs and RMIDs that the steps lack, counted at the moment when most are in use."""
    findings = []
    created, peak = _growth(steps, monitors=False)
    total, used = host.closids_total, host.closids_used
    if total is not None and peak > 0 and used + peak > total:
        owners = ", ".join(f"{g.path} ({g.owner})" for g in host.control_groups() if g.path != DEFAULT_GROUP)
        findings.append(
            RULES["CT212"].at(
                at,
                groups=count(created, "control group"),
                free=max(total - used, 0),
                total=count(total, "CLOSID"),
                owners=f"used by {owners}" if owners else "none in use",
            )
        )
    created, peak = _growth(steps, monitors=True)
    total, used = host.rmids_total, host.rmids_used
    if total is not None and peak > 0 and used + peak > total:
        findings.append(
            RULES["CT213"].at(at, groups=count(created, "group"), free=max(total - used, 0), total=count(total, "RMID"))
        )
    return findings


def _growth(steps: Sequence[Step], *, monitors: bool) -> tuple[int, int]:
    """How many groups the steps create, and by how many at most the number of groups exceeds that at the start."""
    created = level = peak = 0
    for effect in map(effect_of, steps):
        if effect.created and (monitors or not is_monitor(effect.created)):
            created, level = created + 1, level + 1
            peak = max(peak, level)
        elif effect.removed and (monitors or not is_monitor(effect.removed)):
            level -= 1
    return created, peak
