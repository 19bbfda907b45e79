"""Every check finds its fault on a bad host and nothing on a good one, and has all its texts."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

import cachetune
from cachetune.doctor.checks import CHECKS, RULES
from cachetune.doctor.examination import Examination, Unknown
from cachetune.doctor.model import Check, CheckResult
from tests.doctor.scenes import SCENES, Change
from tests.doctor.servers import Server, problems_of, results_of

STATUS = {"error": "fail", "warning": "warn"}
OUTSIDE = {"os", "io", "pathlib", "subprocess", "shutil", "socket", "time", "tempfile"}

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)


def after(change: Change, root: Path) -> dict[str, CheckResult]:
    """The results on a server with this change."""
    server = Server(root)
    return results_of(change(server) or server.examined())


@each_check
def test_a_bad_host_breaks_its_check_and_no_unrelated_one(check: Check, tmp_path: Path) -> None:
    scene = SCENES[check.id]
    results = after(scene.bad, tmp_path)
    assert results[check.id].status == STATUS[check.rule.severity], results[check.id].text
    assert results[check.id].fix
    problems = problems_of(results)
    assert set(problems) == {check.id, *scene.also}, problems


@each_check
def test_a_good_host_breaks_no_check(check: Check, tmp_path: Path) -> None:
    results = after(SCENES[check.id].good, tmp_path)
    assert results[check.id].status in ("ok", "info") or check.id == "CT623"
    assert problems_of(results) == {}


@each_check
def test_a_check_has_all_its_texts(check: Check) -> None:
    rule = check.rule
    assert re.fullmatch(r"CT6[0-9]{2}", rule.id)
    assert all(text.strip() for text in (check.title, rule.summary, rule.message, rule.fix, rule.bad, rule.good))
    assert rule.summary.endswith(".")
    assert not rule.message.endswith(".")
    assert rule.host == "scene"


def test_no_two_checks_have_the_same_id() -> None:
    assert len(RULES) == len(CHECKS)
    assert list(RULES) == sorted(RULES)


def test_every_check_has_a_scene() -> None:
    assert set(SCENES) == set(RULES)


@each_check
def test_without_any_input_a_check_is_skipped_with_the_reason(check: Check, tmp_path: Path) -> None:
    nothing = Unknown("not known")
    optional = [f for f, kind in Examination.__annotations__.items() if "Unknown" in str(kind)]
    blind = msgspec.structs.replace(Server(tmp_path).examined(), **dict.fromkeys(optional, nothing))
    result = results_of(blind)[check.id]
    # CT622 is about reading itself.
    assert result.status == ("fail" if check.id == "CT622" else "skipped"), result.text
    assert result.text


def test_checks_look_only_at_the_examination() -> None:
    for path in (Path(cachetune.__file__).parent / "doctor/checks").glob("*.py"):
        roots = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
        }
        assert not roots & OUTSIDE, path
