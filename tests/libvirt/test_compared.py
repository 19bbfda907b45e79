"""Our answers beside libvirt's recorded ones: the same groups, the same refusals, or a difference that has its reason.

This needs no libvirt; that the real one still answers so is the business of test_answers.
"""

import re

import pytest

from tests.libvirt import answers
from tests.libvirt.answers import Answer
from tests.libvirt.bodies import CASES, HOSTS, terms_of
from tests.libvirt.differences import (
    PAGE,
    REASONS,
    SAME_REFUSALS,
    filled,
    reasons_of,
    recorded_versions,
    same_refusal,
    verdict,
)
from tests.libvirt.host import ROOT
from tests.libvirt.ours import Cachetune

pytestmark = [pytest.mark.xdist_group("libvirt compared"), pytest.mark.slow]
VERSIONS = recorded_versions()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    cachetune = Cachetune(tmp_path_factory.mktemp("ours"))
    return {case.key: cachetune.answer(case) for case in CASES}


@pytest.fixture(scope="module")
def theirs() -> dict[str, dict[str, Answer]]:
    return {version: answers.load(version) for version in VERSIONS}


Theirs = dict[str, dict[str, Answer]]
Ours = dict[str, Answer]


@pytest.mark.parametrize("version", VERSIONS)
def test_libvirt_answered_every_case(version: str, theirs: Theirs) -> None:
    assert list(theirs[version]) == [case.key for host in HOSTS for case in CASES if case.host == host]


def test_there_are_enough_cases() -> None:
    assert len({case.body for case in CASES}) >= 60
    assert len({case.body(terms_of(HOSTS[case.host])) for case in CASES}) >= 200
    assert len({case.host for case in CASES}) >= 6


@pytest.mark.parametrize("version", VERSIONS)
def test_a_difference_has_one_reason(version: str, theirs: Theirs, ours: Ours) -> None:
    different = {
        key: len(reasons_of(key, theirs[version][key], answer))
        for key, answer in ours.items()
        if verdict(theirs[version][key], answer) == "different"
    }
    assert {key: number for key, number in different.items() if number != 1} == {}


@pytest.mark.parametrize("version", VERSIONS)
def test_both_refuse_for_the_same_reason(version: str, theirs: Theirs, ours: Ours) -> None:
    for key, answer in ours.items():
        if verdict(theirs[version][key], answer) == "refused by both":
            assert same_refusal(theirs[version][key], answer), (key, theirs[version][key].refused, answer.refused)


def test_libvirt_leaves_no_group_of_these_guests(theirs: Theirs) -> None:
    assert {key for of in theirs.values() for key, answer in of.items() if answer.left} == set()


def test_every_listed_reason_and_refusal_occurs(theirs: Theirs, ours: Ours) -> None:
    pairs = [(key, of[key], answer) for of in theirs.values() for key, answer in ours.items()]
    assert {r for pair in pairs for r in reasons_of(*pair) if verdict(*pair[1:]) == "different"} == set(REASONS)
    said = {answer.refused[0] for _, answer, _ in pairs if answer.refused}
    assert {p for p in SAME_REFUSALS if not any(re.fullmatch(p, text) for text in said)} == set()


def test_the_readme_and_the_changelog_state_the_number_of_cases() -> None:
    for name in ("README.md", "CHANGELOG.md"):
        assert f"{len(CASES)} times" in (ROOT / name).read_text()


def test_the_page_has_the_tables_of_these_answers(theirs: Theirs, ours: Ours) -> None:
    text = PAGE.read_text()
    assert text == filled(text, theirs, ours)
