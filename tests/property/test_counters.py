"""Assigning counters, for any guest on any host: what the kernel has not is never used, and what others have stays."""

from hypothesis import given
from hypothesis import strategies as st

from cachetune.domain.model import Domain
from cachetune.host.model import Group, Host, is_monitor
from cachetune.host.resctrl.assignments import format_assignments
from cachetune.plan import GuestRequest, Options, plan_guests
from cachetune.plan.groups.translate import translate
from cachetune.plan.steps import WriteFile
from tests.plan.counted import LOCAL, TOTAL, after, group, guest, host, tune, with_left
from tests.samples import GUEST

KINDS = st.sampled_from(["memory", "cache", "energy"])


@st.composite
def guests(draw: st.DrawFn) -> Domain:
    """One or two control groups, each with monitors for any of its vCPUs."""
    groups = draw(st.sampled_from([["0-3"], ["0-1", "2-3"], ["0", "1-2"], [""]]))
    tuned = []
    for vcpus in groups:
        inside = [str(n) for n in range(4) if not vcpus or int(vcpus[0]) <= n <= int(vcpus[-1])]
        monitors = draw(st.lists(st.sampled_from([vcpus, *inside]), unique=True, max_size=4))
        # overlapping monitors are invalid, so the whole group is alone
        tuned.append(tune(vcpus, *([vcpus] if vcpus in monitors else monitors), kind=draw(KINDS)))
    return guest("\n".join(tuned))


@st.composite
def counters(draw: st.DrawFn) -> str:
    """The counters of a group."""
    rows = {event: {i: draw(st.booleans()) for i in (0, 1)} for event in (TOTAL, LOCAL)}
    return format_assignments(rows)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Domain, Host]:
    """A guest of which any groups exist, on a host with any counters left and another program's group."""
    domain = draw(guests())
    there: dict[str, Group] = {}
    for one in translate(domain, "cachetune-web"):
        if draw(st.booleans()) and (one.is_control or one.parent in (".", *there)):
            there[one.path] = group(one.path, draw(counters()))
    batch = group("batch", draw(counters()), "unknown")
    bare = host(batch, *there.values(), on_mkdir=draw(st.booleans()))
    return domain, with_left(bare, draw(st.integers(0, 9)), draw(st.integers(0, 9)))


@given(scenes())
def test_assigning_counters_uses_what_is_left_takes_nothing_from_others_and_is_complete(
    scene: tuple[Domain, Host],
) -> None:
    domain, before = scene
    options = Options(assign_counters=True)
    made = plan_guests([GuestRequest(domain, GUEST)], before, options)
    found = after(before, made)  # checks that no step needs a counter that is not free
    assert plan_guests([GuestRequest(domain, GUEST)], found, options).steps == ()
    for path in (".", "batch"):
        assert found.group(path).assignments == before.group(path).assignments  # type: ignore[union-attr]
    plain = plan_guests([GuestRequest(domain, GUEST)], before, Options())
    assert [step for step in made.steps if not isinstance(step, WriteFile)] == list(plain.steps)
    for old in before.groups:
        if is_monitor(old.path):
            new = found.group(old.path)
            kept = [
                new.assignments[event][i] for event, row in old.assignments.items() for i, has in row.items() if has
            ]  # type: ignore[union-attr]
            assert all(kept), "a monitor that exists keeps its counters"


@given(scenes())
def test_a_warning_is_given_exactly_if_a_requested_monitor_lacks_a_counter(scene: tuple[Domain, Host]) -> None:
    domain, before = scene
    for assign in (False, True):
        made = plan_guests([GuestRequest(domain, GUEST)], before, Options(assign_counters=assign))
        found = after(before, made)
        monitored = {
            one.path: one
            for one in translate(domain, "cachetune-web")
            if any(monitor.resource != "energy" for monitor in one.monitors)
        }
        lacking = [
            path
            for path in monitored
            for row in found.group(path).assignments.values()  # type: ignore[union-attr]
            if not all(row.values())
        ]
        warned = [finding for finding in made.warnings if finding.rule in ("CT230", "CT231")]
        assert len(warned) == bool(lacking)
        if assign:
            assert all(finding.rule == "CT230" for finding in warned)
