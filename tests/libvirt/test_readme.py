"""The README's five minutes with a libvirt guest, command by command, with what it shows of them.

"# " is root's prompt, "# exit N" behind a command says how it ends; "…" stands for what differs from host to host.
"""

import re

import pytest

from tests.libvirt.bodies import tune
from tests.libvirt.domains import domain
from tests.libvirt.host import ROOT, LibvirtHost

pytestmark = [pytest.mark.libvirt, pytest.mark.usefixtures("libvirt_here")]
README = (ROOT / "README.md").read_text()
SECTION = re.search(r"^## Five minutes with a libvirt guest\n(.*?)^## ", README, re.MULTILINE | re.DOTALL)
BLOCKS = re.findall(r"^```console\n(.*?)^```", SECTION[1] if SECTION else "", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^# (.*?)(?:  # exit (\d))?$\n((?:(?!# ).*\n)*)", re.MULTILINE)
DB = tune("0-3", "<cache id='0' level='3' type='both' size='4608' unit='KiB'/>")


def test_the_first_five_minutes_with_a_libvirt_guest_are_as_shown() -> None:
    commands = [found for block in BLOCKS for found in COMMAND.findall(block)]
    assert len(commands) >= 10
    with LibvirtHost("skylake-2s") as host:
        host.define(domain("web", ""))
        host.define(domain("db", DB))
        host.start("web")
        for command, code, shown in commands:
            done = host.run("sh", "-c", f"cd {ROOT} && {command}")
            assert done.returncode == int(code or 0), (command, done.stderr)
            assert re.match(re.escape(shown).replace("…", "[^\n]*"), done.stdout), (command, done.stdout)
        groups = host.tree()
        assert groups.keys() == {".", "qemu-2-db-vcpus_0-3"}
        assert "L3:0=300;" in groups["qemu-2-db-vcpus_0-3"].schemata
