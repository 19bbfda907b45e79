"""The manual's five minutes with plain QEMU, run verbatim in namespaces with default paths."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import waiting
from tests.guests.qemu import need_qemu
from tests.missing import skip_without
from tests.sim.fuse.mounted import need_fuse

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TITLE = "Five minutes with plain QEMU"
SECTION = re.compile(rf"^## {TITLE}\n.*?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
AROUND = """set -e
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /sys/fs
mkdir /sys/fs/resctrl
cachetune sim mount /sys/fs/resctrl --profile skylake-2s --tids real --background
cat /sys/fs/resctrl/schemata >before
set -v
{commands}
set +v
cat /sys/fs/resctrl/schemata >after
ls /sys/fs/resctrl >left
cachetune sim unmount /sys/fs/resctrl
"""


@pytest.fixture
def own_machine(tmp_path: Path) -> dict[str, str]:
    """Namespaces with private processes, mounts and /run; without them a failure in CI."""
    need_qemu()
    need_fuse()
    if subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode:
        skip_without("this user may not make namespaces for mounts and processes")
    program = tmp_path / "cachetune"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cachetune.cli.main "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


def test_the_commands_of_the_page_do_what_it_says(own_machine: dict[str, str], tmp_path: Path) -> None:
    (commands,) = SECTION.findall((ROOT / "docs" / "how-to" / "first-guest.md").read_text())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    ended = waiting.run(
        [*NAMESPACES, "sh", "-c", AROUND.format(commands=commands)],
        cwd=tmp_path,
        env=own_machine,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    shown = ended.stdout
    assert re.search(r"^web +- +\d+ +0-1 +\d+-\d+ +threads +unknown$", shown, re.MULTILINE), shown
    assert "+ cachetune-web-vcpus_0-1  (vCPUs 0-1)" in shown
    assert re.search(r"^Done: \d steps, each read back\.$", shown, re.MULTILINE)
    assert "No changes" in shown, "what diff says"
    assert re.search(r"^cachetune-web-vcpus_0-1 +0 +[0-9.]+ [KM]iB ", shown, re.MULTILINE), "what monitor says"
    assert (tmp_path / "before").read_text() == (tmp_path / "after").read_text()
    assert "cachetune-web" not in (tmp_path / "left").read_text()
