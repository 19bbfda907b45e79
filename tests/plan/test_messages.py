"""Messages count correctly: singular and plural agree, and no number is impossible."""

import re
from pathlib import Path

import msgspec
import pytest

from cachetune.findings import Finding, Rule
from cachetune.guests.model import Guest
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.plan import PlanRefusedError, check, plan
from cachetune.plan.render import summary_sentence
from cachetune.sim import SimulatedResctrl, load_profile
from tests.rules.judges import findings_of
from tests.rules.scenes import FREE, WEB, host, web
from tests.rules.test_every_rule import RULES
from tests.samples import GUEST, TIDS

# "1 guests", but not "cache 1 has" or "1 process"; "vCPUs 3", but not "vCPUs 3-4"; "-2 of 1 are free".
MISCOUNTED = (
    re.compile(
        r"(?<![\d.,-])(?<!cache )(?<!node )(?<!vCPU )(?<!L[23] )\b1 "
        r"(?:(?:more|other|free|control|monitor) )*(?!(?:is|has|was)\b)\w+[a-rt-zA-Z]s\b"
    ),
    re.compile(r"\b(vCPUs|CLOSIDs|ids|nodes|caches|threads|groups) (are )?\d+\b(?![-,^]\d)(?! (and|to) )"),
    re.compile(r"(?<![\w-])-\d+ (of|free|left|more)\b"),
)
NODE = "<memorytune vcpus='0'><node id='{}' bandwidth='50'/></memorytune>"
MONITOR = "<cachetune vcpus='0'><monitor level='3' vcpus='0'/></cachetune>"


def miscounted(finding: Finding) -> list[str]:
    """The places in a finding's message and hint where number and noun disagree."""
    text = f"{finding.message}; {finding.hint}"
    return [found[0] for pattern in MISCOUNTED for found in pattern.finditer(text)]


@pytest.mark.parametrize(
    "text",
    ["1 more control groups need 1 CLOSIDs", "none of the 1 guests", "vCPUs 3 have no thread", "-2 of 1 are free"],
)
def test_wrong_counts_are_recognised(text: str) -> None:
    assert miscounted(Finding("CT999", "error", 0, 0, "", text, ""))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_no_message_of_a_bad_sample_miscounts(rule: Rule, tmp_path: Path) -> None:
    assert [words for finding in findings_of(rule, "bad", tmp_path)[:9] for words in miscounted(finding)] == []


def without_closids() -> Host:
    return host(FREE, {f"COS{number}/schemata": "L3:0=600;1=600\n" for number in range(1, 8)})


def with_rmids(total: int) -> Host:
    """A host with two groups and ``total`` RMIDs."""
    on = host(FREE, {"COS1/schemata": "L3:0=600;1=600\n"})
    return msgspec.structs.replace(
        on, monitors=tuple(msgspec.structs.replace(monitor, num_rmids=total) for monitor in on.monitors)
    )


def with_one_cache() -> Host:
    return read_host(SimulatedResctrl(load_profile("icelake")))


SINGLE_CACHE = "<cachetune vcpus='0'><cache id='7' level='3' type='both' size='2304' unit='KiB'/></cachetune>"


@pytest.mark.parametrize(
    ("rule", "cputune", "on"),
    [
        ("CT203", SINGLE_CACHE, with_one_cache()),
        ("CT209", NODE.format(7), with_one_cache()),
        ("CT212", NODE.format(0), without_closids()),
        ("CT213", MONITOR, with_rmids(2)),
    ],
    ids=["one cache", "one node", "no CLOSID left", "no RMID left"],
)
def test_a_request_for_one_more_than_there_is_counts_correctly(rule: str, cputune: str, on: Host) -> None:
    (finding,) = (finding for finding in check(web(cputune), on) if finding.rule == rule)
    assert miscounted(finding) == []


def test_a_limit_that_the_host_already_exceeds_does_not_apply() -> None:
    made = plan(web(NODE.format(0) + MONITOR.replace("'0'", "'1'")), with_rmids(1), GUEST)
    assert "RMID" not in summary_sentence(made)
    assert "3 of 8 CLOSIDs used afterwards" in summary_sentence(made)


def test_more_groups_than_closids_are_no_reason_to_refuse_another() -> None:
    on = host(FREE, {"COS1/schemata": "L3:0=600;1=600\n"})
    few = msgspec.structs.replace(on, unknown_resources={"X": 1})
    assert "CLOSID" not in summary_sentence(plan(web(NODE.format(0)), few, GUEST))


@pytest.mark.parametrize(
    ("path", "owner"),
    [("batch", "another program"), ("cachetune-db-vcpus_0", "another guest"), ("COS1", "pqos")],
)
def test_the_owner_of_a_group_has_a_name(path: str, owner: str) -> None:
    on = host(FREE, {f"{path}/schemata": "L3:0=01f;1=01f\n", f"{path}/tasks": f"{TIDS[0]}"})
    with pytest.raises(PlanRefusedError) as caught:
        plan(WEB, on, GUEST)
    (finding,) = caught.value.findings
    assert finding.message == f"thread {TIDS[0]} is in group '{path}', which belongs to {owner}"


def test_one_vcpu_without_a_thread_is_named_in_the_singular() -> None:
    (warning,) = plan(WEB, host(FREE), Guest(GUEST.pid, GUEST.threads[:1])).warnings
    assert warning.rule == "CT401"
    assert "vCPU 1" in warning.message


@pytest.mark.parametrize("cputune", [NODE.format(7), NODE.format(7) + MONITOR.replace("'0'", "'1'") + SINGLE_CACHE])
def test_a_refused_plan_counts_its_reasons(cputune: str) -> None:
    with pytest.raises(PlanRefusedError) as caught:
        plan(web(cputune), host(FREE), GUEST)
    reasons = len([finding for finding in caught.value.findings if finding.severity == "error"])
    assert str(reasons) in str(caught.value)
    assert ("1 reasons" in str(caught.value)) is False
