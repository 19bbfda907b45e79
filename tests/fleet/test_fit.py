"""What a host answers is what the planner says: with the options that were given, and with those that would help."""

from itertools import product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from cachetune.domain.model import Domain
from cachetune.errors import PlanRefusedError
from cachetune.fleet.fit import fit, fit_together
from cachetune.fleet.model import Candidate, Fit
from cachetune.host.model import DEFAULT_GROUP, Host
from cachetune.host.read import read_host
from cachetune.plan import Options, plan
from cachetune.plan.after import host_after
from cachetune.plan.groups.names import machine_name
from cachetune.plan.model import Plan
from cachetune.plan.steps import effect_of
from cachetune.sim import SimulatedResctrl, load_profile, profile_names
from tests.fleet.domains import caches, guest
from tests.fleet.random_fleet import random_fleet

FLEET = tuple(random_fleet(200, seed=13))
GUESTS = (
    guest(),
    guest(tuning=caches("0=2ways", "1=3ways")),
    guest(tuning=caches("0=30%") + "<memorytune vcpus='0-3'><node id='0' bandwidth='55'/></memorytune>"),
    guest(tuning=caches("0=5MiB")),
    guest(tuning=caches("0=7168KiB", vcpus="0") + caches("0=1ways", vcpus="1")),
    guest(tuning=caches("0=2ways", kind="code", vcpus="0") + caches("0=1ways", kind="data", vcpus="1")),
    guest(tuning=caches("0=2ways", level=2)),
    guest(tuning="<cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune>"),
    guest(tuning="<memorytune vcpus='0-3'><node id='0' bandwidth='50'/></memorytune>"),
)
ALL_OPTIONS = [
    Options(shrink_default=shrink, compact=compact, rounding=rounding)
    for shrink, compact, rounding in product((False, True), (False, True), (None, "up", "down"))
]


def on(host: Host, domain: Domain, options: Options = Options()) -> Fit:  # noqa: B008 - a frozen value
    return fit(domain, Candidate("node", host), options)


def simulated(name: str) -> Host:
    return read_host(SimulatedResctrl(load_profile(name)))


def made(domain: Domain, host: Host, options: Options) -> Plan | None:
    try:
        return plan(domain, host, None, options)
    except PlanRefusedError:
        return None


def with_missing(options: Options, answer: Fit) -> Options:
    """The options with those that the answer names."""
    for name in answer.missing:
        match name.split():
            case ["--shrink-default"]:
                options = replace(options, shrink_default=True)
            case ["--compact"]:
                options = replace(options, compact=True)
            case ["--round", "up" | "down" as rounding]:
                options = replace(options, rounding=rounding)
            case _:
                pytest.fail(name)
    return options


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FLEET), st.sampled_from(GUESTS), st.sampled_from(ALL_OPTIONS))
def test_the_answer_is_that_of_the_plan_with_the_options_it_names(host: Host, domain: Domain, options: Options) -> None:
    answer = on(host, domain, options)
    with_given = made(domain, host, options)
    assert (answer.answer == "fits") == (with_given is not None)
    if answer.answer == "refused":
        assert answer.reasons
        return
    assert answer.missing == () or with_given is None
    enough = made(domain, host, with_missing(options, answer))
    assert enough is not None
    for cache in answer.caches:
        for path, mask in cache.masks.items():
            (group,) = (group for group in enough.groups if group.path == path)
            assert group.schemata.masks.at(cache.resource, cache.id) == mask
    assert answer.moved == enough.moved
    shrinks = any(effect_of(step).written == DEFAULT_GROUP for step in enough.steps)
    assert ("shrunk" in answer.means) == shrinks


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FLEET), st.sampled_from(GUESTS), st.sampled_from(ALL_OPTIONS))
def test_what_no_options_make_possible_is_refused_and_no_option_is_named_in_vain(
    host: Host, domain: Domain, options: Options
) -> None:
    answer = on(host, domain, options)
    if answer.answer == "refused":
        for more in ALL_OPTIONS:
            wider = more.shrink_default >= options.shrink_default and more.compact >= options.compact
            if wider and options.rounding in (None, more.rounding):
                assert made(domain, host, more) is None
    for name in answer.missing:
        fewer = with_missing(options, replace(answer, missing=tuple(n for n in answer.missing if n != name)))
        assert made(domain, host, fewer) is None, f"{name} is not needed"


def test_free_ways_and_the_largest_hole_are_those_after_the_plan() -> None:
    host = next(h for h in FLEET if on(h, GUESTS[0]).answer == "fits" and on(h, GUESTS[0]).free_ways)
    (cache,) = on(host, GUESTS[0]).caches
    taken = 0
    for group in host.control_groups():
        taken |= group.masks.at("L3", 0) or 0
    (mask,) = cache.masks.values()
    assert mask & taken == 0
    assert cache.free == cache_mask(host) & ~(taken | mask)
    assert cache.free_ways == cache.free.bit_count() >= cache.largest_hole_ways


def cache_mask(host: Host) -> int:
    (control,) = (control for control in host.caches if control.name == "L3")
    return control.cbm_mask


def test_a_fresh_host_needs_the_default_group_to_shrink_and_says_what_it_keeps() -> None:
    answer = on(simulated("skylake-2s"), guest(tuning=caches("0=3ways")))
    assert (answer.answer, answer.means, answer.missing) == ("possible", ("shrunk",), ("--shrink-default",))
    (cache,) = answer.caches
    assert (cache.default_before, cache.default) == (0x7FF, 0x7F8)
    assert [finding.rule for finding in answer.reasons] == ["CT207"]


def test_a_size_between_ways_is_possible_rounded_and_the_answer_says_to_what() -> None:
    answer = on(simulated("skylake-2s"), guest(tuning=caches("0=5MiB")), Options(shrink_default=True))
    assert answer.missing == ("--round up",)
    (rounded,) = answer.rounded
    assert (rounded.requested, rounded.ways, rounded.amount) == ("5 MiB", 3, 3 * 2304 * 1024)


def test_a_percentage_is_rounded_without_being_asked() -> None:
    answer = on(simulated("skylake-2s"), guest(tuning=caches("0=30%")), Options(shrink_default=True))
    assert (answer.answer, answer.means) == ("fits", ("shrunk",))
    assert [each.requested for each in answer.rounded] == ["30%"]


@pytest.mark.parametrize(
    ("profile", "tuning", "rule"),
    [
        ("monitor-only", caches("0=2ways"), "CT201"),
        ("kunpeng-920-mpam", caches("99=2ways"), "CT203"),
        ("sapphire-rapids-cdp", caches("0=2ways"), "CT202"),
        ("skylake-2s", caches("0=2ways", kind="code"), "CT202"),
        ("allocation-only", caches("0=2ways") + "<memorytune vcpus='0-3'><node id='0' bandwidth='50'/></memorytune>",
         "CT208"),
    ],
)  # fmt: skip
def test_a_host_that_lacks_the_control_refuses_with_the_rule(profile: str, tuning: str, rule: str) -> None:
    answer = on(simulated(profile), guest(tuning=tuning), ALL_OPTIONS[-1])
    assert answer.answer == "refused"
    assert rule in [finding.rule for finding in answer.reasons]


@pytest.mark.parametrize("name", profile_names())
def test_every_simulated_host_has_an_answer(name: str) -> None:
    host = simulated(name)
    numbers = next((sorted(c.size_bytes) for c in host.caches if c.type in ("both", "code")), [])
    kind = next((c.type for c in host.caches), "both")
    level = next((c.level for c in host.caches), 3)
    domain = guest(tuning=caches(f"{numbers[0]}=2ways", level=level, kind=kind) if numbers else "")
    answer = on(host, domain, Options(shrink_default=True))
    assert (answer.answer == "fits") == (made(domain, host, Options(shrink_default=True)) is not None)
    assert answer.answer == ("refused" if not host.caches else "fits")


def test_a_guest_that_is_there_already_is_present_and_stays() -> None:
    host = simulated("skylake-2s")
    domain, options = guest(tuning=caches("0=3ways")), Options(shrink_default=True)
    later = host_with(host, made(domain, host, options))
    answer = on(later, domain)
    assert (answer.answer, answer.means, answer.present) == ("fits", (), True)


def host_with(host: Host, planned: Plan | None) -> Host:
    from cachetune.plan.after import host_after

    assert planned is not None
    return host_after(host, planned.steps)


def test_guests_that_fit_only_separately_do_not_fit_together() -> None:
    host, options = Candidate("node", simulated("skylake-2s")), Options(shrink_default=True)
    guests = [guest(name, caches("0=6ways")) for name in ("web", "db")] + [guest("log", caches("0=2ways"))]
    assert [fit(each, host, options).answer for each in guests] == ["fits", "fits", "fits"]
    together = list(fit_together(guests, host, options))
    assert [each.answer for each in together] == ["fits", "refused", "fits"]
    assert [each.rule for each in together[1].reasons] == ["CT207"]


def test_a_guest_can_have_together_what_the_guest_before_it_gives_up() -> None:
    options = Options(shrink_default=True)
    host = simulated("skylake-2s")
    large = made(guest("web", caches("0=8ways")), host, options)
    assert large
    candidate = Candidate("node", host_after(host, large.steps))
    guests = [guest("web", caches("0=2ways")), guest("db", caches("0=6ways"))]
    assert [each.answer for each in fit_together(guests, candidate, options)] == ["fits", "fits"]
    assert [each.answer for each in fit_together(guests[::-1], candidate, options)] == ["refused", "fits"]


def test_groups_that_libvirt_has_numbered_are_those_of_the_guest_whose_file_has_no_number() -> None:
    options = Options(shrink_default=True)
    host = simulated("skylake-2s")
    running = replace(guest("web", caches("0=8ways")), id=7)
    there = made(running, host, options)
    assert there
    host = host_after(host, there.steps)
    assert host.group(f"{machine_name('web', 7)}-vcpus_0-3")
    assert on(host, guest("web", caches("0=8ways")), options).present
    assert on(host, guest("web2", caches("0=8ways")), options).answer == "refused"
