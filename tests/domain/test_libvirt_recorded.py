"""Verdict, reason and canonical form, compared with the recorded answers of libvirt 9.0's parser."""

import json
import re
from pathlib import Path

import pytest

from cachetune.domain import format_cputune, load

RECORD = json.loads((Path(__file__).parent / "recorded" / "libvirt-9.0.json").read_text())

# libvirt's message, and our rule for it
REASONS = {
    r"Invalid \w+ attribute 'vcpus' value": "CT101",
    r"Identical vcpus in cachetunes found": "CT102",
    r"Overlapping vcpus in resctrls": "CT103",
    r"Colliding cache allocations": "CT105",
    r"value too large": "CT106",
    r"Memory Bandwidth already defined": "CT107",
    r"Invalid monitor cache level": "CT108",
    r"vcpus is empty": "CT109",
    r"Monitor vcpus conflicts with allocation": "CT112",
    r"Identical vcpus found in same type monitors": "CT113",
    r"vcpus overlaps in resctrl groups": "CT114",
    r"Memory Bandwidth value exceeding 100": "CT303",
}
AT_START_ONLY = {"CT304"}  # level 2 is refused at the guest's start, not by the parser


def read(cputune: str) -> tuple[set[str], str]:
    text = f"<domain type='kvm'><name>sample</name><vcpu>4</vcpu>{cputune}</domain>".encode()
    errors = {f.rule for f in load(text, "sample.xml", libvirt="9.0").findings if f.severity == "error"}
    domain = load(text, "sample.xml").domain
    return errors - AT_START_ONLY, format_cputune(domain) if domain else ""


@pytest.mark.parametrize(("cputune", "said"), [(answer[0], answer[2]) for answer in RECORD if answer[1]])
def test_documents_that_libvirt_accepts_are_accepted_and_formatted_the_same(cputune: str, said: str) -> None:
    errors, printed = read(cputune)
    assert errors == set()
    assert re.sub(r">\s+<", "><", printed).strip() == said


@pytest.mark.parametrize(("cputune", "said"), [(answer[0], answer[2]) for answer in RECORD if not answer[1]])
def test_documents_that_libvirt_refuses_are_refused_for_the_same_reason(cputune: str, said: str) -> None:
    (rule,) = {rule for message, rule in REASONS.items() if re.search(message, said)}
    assert rule in read(cputune)[0]


def test_the_record_has_every_kind_of_answer() -> None:
    refusals = [answer[2] for answer in RECORD if not answer[1]]
    assert all(any(re.search(message, said) for said in refusals) for message in REASONS)
    assert sum(answer[1] for answer in RECORD) > 100
