"""The role cachetune of the Ansible collection in a booted Debian: from a .deb to running services, and back.

Ansible reaches the root through a real sshd, which ssh starts in its namespaces instead of connecting to a port.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests import waiting
from tests.debian.conftest import Installed
from tests.debian.root import PYTHONS, Root
from tests.integrations.ansible.playing import BIN, settings

pytestmark = pytest.mark.install

SSHD = "-o PermitRootLogin=prohibit-password -o UsePAM=no -o StrictModes=yes"
PACKAGES = ("openssh-server", "python3-apt")


class Host(NamedTuple):
    """A booted root without cachetune, and the directory of the operator."""

    root: Root
    directory: Path
    deb: str
    python: str


@pytest.fixture
def host(installed: Installed, tmp_path: Path) -> Iterator[Host]:
    root = installed.root.copy(tmp_path / "root")
    root.install(*PACKAGES)
    root.run("apt-get", "-qy", "purge", "cachetune")
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    (root.directory / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    (root.directory / "root/.ssh/authorized_keys").write_text((tmp_path / "key.pub").read_text())
    with root.booted() as booted:
        booted.run("mkdir", "-p", "/run/sshd")
        yield Host(booted, tmp_path, f"{root.directory}{installed.deb}", f"/usr/bin/python{PYTHONS[installed.release]}")


def play(host: Host, **variables: object) -> dict[str, int]:
    """Apply the role and return the counts of Ansible's last line; fail unless all tasks were successful."""
    anyone = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    sshd = " ".join([*host.root._enter(), "/usr/sbin/sshd", "-i", SSHD])
    node = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(host.directory / "key"),
        "ansible_ssh_args": "-C",  # no shared connection: Ansible would take one to the root of another release for it
        "ansible_ssh_common_args": f'{anyone} -o ProxyCommand="{sshd}"',
        "ansible_python_interpreter": host.python,
        **variables,
    }
    (host.directory / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": {"node": node}}}))
    book = [{"hosts": "all", "gather_facts": False, "roles": ["cachetune.resctrl.cachetune"]}]
    (host.directory / "install.yml").write_text(yaml.safe_dump(book))
    command = [BIN / "ansible-playbook", "-i", host.directory / "inventory.yml", host.directory / "install.yml"]
    done = waiting.run(command, env=settings(host.directory), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    recap = done.stdout.partition("PLAY RECAP")[2]
    return {name: int(count) for name, count in re.findall(r"([a-z]+)=([0-9]+)", recap)}


def test_the_role_installs_the_package_starts_the_services_and_removes_all(host: Host) -> None:
    # No agent and no mount: the root has no resctrl, so neither would start.
    wanted = {"cachetune_package": host.deb, "cachetune_agent": False, "cachetune_mount": False}
    wanted["cachetune_exporter"] = True
    assert play(host, **wanted)["changed"] > 0
    exporter = "cachetune-exporter.service"
    assert host.root.run("systemctl", "is-enabled", exporter) == "enabled\n"
    assert host.root.run("systemctl", "is-active", exporter) == "active\n"
    assert play(host, **wanted)["changed"] == 0
    assert play(host, **wanted, cachetune_state="absent")["changed"] > 0
    assert not (host.root.directory / "usr/bin/cachetune").exists()
    # exit 3 in Debian 12; 4, for a unit that does not exist, in Debian 13
    assert host.root.sh(f"systemctl is-active {exporter} || test $? -ge 3") == "inactive\n"
