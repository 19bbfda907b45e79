"""Vim runs cachetune validate as its compiler, with the line of the page, and goes to its findings."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.missing import skip_without

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "editors.md"
TUNING = """<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' levl='3' type='both' size='6' unit='MiB'/>
    <monitor level='3' vcpus='0-3'/>
  </cachetune>
  <cachtune/>
</cputune>
"""
DRIVE = """
filetype on
source init.vim
edit it's web.xml
silent make
for each in getqflist()
  call writefile([join([bufname(each.bufnr), each.lnum, each.col, each.type, each.text], '|')], 'found.txt', 'a')
endfor
qall!
"""


def test_make_lists_the_findings_with_file_line_and_column(tmp_path: Path) -> None:
    vim = shutil.which("vim") or skip_without("Vim is not installed (Debian: vim)")
    (init,) = re.findall(r"```vim\n(.*?)```", PAGE.read_text(), re.DOTALL)
    for name, text in (("init.vim", init), ("it's web.xml", TUNING), ("drive.vim", DRIVE)):
        (tmp_path / name).write_text(text)
    beside = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": beside, "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    words = [vim, "-N", "-u", "NONE", "-es", "-S", "drive.vim"]
    subprocess.run(words, cwd=tmp_path, env=environment, check=False, stdin=subprocess.DEVNULL, timeout=120)
    found = [line.split("|") for line in (tmp_path / "found.txt").read_text().splitlines()]
    assert [each[:4] for each in found] == [
        ["it's web.xml", "3", "19", "e"],
        ["it's web.xml", "4", "24", "e"],
        ["it's web.xml", "6", "3", "w"],
    ]
    assert found[0][4] == "attribute 'levl' is not allowed on <cache>; did you mean 'level'? [CT003]"
