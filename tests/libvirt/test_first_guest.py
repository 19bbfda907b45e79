"""The first minutes with a libvirt guest, in the README and in the manual: command by command, with what they show.

"# " is root's prompt, "# exit N" behind a command says how it ends; "…" stands for what differs from host to host.
"""

import re
from pathlib import Path

import pytest

from tests.libvirt.bodies import tune
from tests.libvirt.domains import domain
from tests.libvirt.host import ROOT, LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.usefixtures("libvirt_here")]
COMMAND = re.compile(r"^# (.*?)(?:  # exit (\d))?$\n((?:(?!# ).*\n)*)", re.MULTILINE)
DB = tune("0-3", "<cache id='0' level='3' type='both' size='4608' unit='KiB'/>")


def typed(host: LibvirtHost, page: Path, title: str) -> None:
    """Type in root's commands below the title."""
    section = re.search(rf"^## {title}\n(.*?)^## ", page.read_text(), re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"^```console\n(.*?)^```", section[1] if section else "", re.MULTILINE | re.DOTALL)
    commands = [found for block in blocks for found in COMMAND.findall(block)]
    assert len(commands) >= 9
    for command, code, shown in commands:
        done = host.run("sh", "-c", f"cd {ROOT} && {command}")
        assert done.returncode == int(code or 0), (command, done.stderr)
        assert re.match(re.escape(shown).replace("…", "[^\n]*"), done.stdout), (command, done.stdout)


def test_the_page_shows_the_first_minutes_with_a_libvirt_guest() -> None:
    with LibvirtHost("skylake-2s") as host:
        host.define(domain("web", ""))
        host.define(domain("db", DB))
        host.start("web")
        typed(host, ROOT / "docs" / "how-to" / "first-guest.md", "Five minutes with a libvirt guest")
        groups = host.tree()
        assert groups.keys() == {".", "qemu-2-db-vcpus_0-3"}
        assert "L3:0=300;" in groups["qemu-2-db-vcpus_0-3"].schemata


def test_the_commands_of_the_readme_leave_the_host_as_they_found_it() -> None:
    with LibvirtHost("skylake-2s") as host:
        host.define(domain("web", ""))
        host.start("web")
        before = host.tree()
        typed(host, ROOT / "README.md", "Five minutes")
        assert host.tree() == before
