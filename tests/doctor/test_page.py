"""docs/how-to/doctor.md lists every check, and every fix that ``doctor --fix`` has."""

from pathlib import Path

from cachetune.doctor.checks import CHECKS
from tests.doctor.scenes import SCENES
from tests.doctor.servers import Server, results_of
from tests.test_docs import rows

PAGE = (Path(__file__).parents[2] / "docs/how-to/doctor.md").read_text()
STATUS = {"error": "fail", "warning": "warn"}


def test_the_table_has_every_check() -> None:
    listed = [tuple(row) for row in rows(PAGE, "check", "topic", "status", "what must hold")]
    assert listed == [(c.id, c.topic, STATUS[c.rule.severity], c.rule.summary) for c in CHECKS]


def test_the_table_of_fixes_has_every_check_that_can_be_fixed(tmp_path: Path) -> None:
    listed = {row[0] for row in rows(PAGE, "check", "fix")}
    fixable = set()
    for name, scene in SCENES.items():
        server = Server(tmp_path / name)
        fixable |= {each.id for each in results_of(scene.bad(server) or server.examined()).values() if each.fixable}
    assert listed == fixable
