"""nxml-mode of Emacs completes and marks with the schema for it, set up with the lines of the page."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cachetune.domain.xml.bundle import compact_bundle
from tests.missing import skip_without

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "editors.md"
TUNING = (
    "<cputune>\n  <cachetune vcpus='0-1'>\n    <cache id='0' {}='3' type='both' size='6' unit='MiB'/>\n  </cachetune>"
)
FILES = {
    "valid": TUNING.format("level") + "\n</cputune>\n",
    "levl": TUNING.format("levl") + "\n</cputune>\n",
    "value": TUNING.format("level").replace("both", "all") + "\n</cputune>\n",
    "domain": "<domain type='kvm'><new/>" + TUNING.format("levl") + "<shares>1</shares></cputune></domain>\n",
}
GROUP = "<cputune>\n<cachetune vcpus='0'>\n"
TEXTS = {
    f"{GROUP}<cache id='0' l": (["level"], f"{GROUP}<cache id='0' level=\"\""),
    f"{GROUP}<ca": (["cache"], f"{GROUP}<cache "),
    f"{GROUP}<cache type='c": (["code"], f"{GROUP}<cache type='code'"),
    f"{GROUP}<cache ": (["id", "level", "size", "type", "unit"], f"{GROUP}<cache "),
    f"{GROUP}<cache unit='": (["%", "GiB", "KiB", "MiB", "ways"], f"{GROUP}<cache unit='"),
    "<cputune>\n<cachetune mode='e": (["exclusive"], "<cputune>\n<cachetune mode='exclusive'"),
}


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What Emacs does with FILES and TEXTS, in one run; its HOME has the files that the page names."""
    emacs = shutil.which("emacs") or skip_without("Emacs is not installed (Debian: emacs-nox)")
    home = tmp_path_factory.mktemp("emacs")
    settings = home / ".emacs.d"
    settings.mkdir()
    (settings / "cachetune.rnc").write_bytes(compact_bundle())
    page = PAGE.read_text()
    (init,) = re.findall(r"```elisp\n(.*?)```", page, re.DOTALL)
    (settings / "init.el").write_text(init)
    (rules,) = re.findall(r"```xml\n(<locatingRules.*?)```", page, re.DOTALL)
    (settings / "schemas.xml").write_text(rules.replace("/usr/share/cachetune/", f"{settings}/"))
    for name, text in FILES.items():
        (home / f"{name}.xml").write_text(text)
    documents = {"files": [f"{name}.xml" for name in FILES], "texts": list(TEXTS)}
    (home / "documents.json").write_text(json.dumps(documents))
    words = [emacs, "-Q", "--batch", "--load", settings / "init.el", "--load", Path(__file__).parent / "drive.el"]
    environment = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        words,
        cwd=home,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]


def test_a_misspelled_attribute_is_marked_in_tuning_files_and_in_domain_xml(lines: list[Any]) -> None:
    found = dict(zip(FILES, lines, strict=False))
    assert {mode for mode, _ in found.values()} == {"nxml-mode"}
    assert found["valid"][1] == []
    for name in ("levl", "domain"):
        assert sorted(found[name][1]) == [["/>", 'Missing attribute "level"'], ["levl", "Attribute not allowed"]]
    assert found["value"][1] == [["all", "Attribute value invalid"]]


def test_elements_attributes_and_values_are_completed(lines: list[Any]) -> None:
    for (text, expected), (proposed, after) in zip(TEXTS.items(), lines[len(FILES) :], strict=True):
        assert (sorted(proposed), after) == expected, text
