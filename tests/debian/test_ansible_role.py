"""The role cachetune of the Ansible collection in a booted Debian: from a .deb or a wheel to services, and back.

Ansible reaches the root through a real sshd, which ssh starts in its namespaces instead of connecting to a port.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.debian.conftest import Installed
from tests.debian.controller import Controller, admit, connected
from tests.debian.root import PYTHONS, WHEELS, Root

pytestmark = pytest.mark.install

SSHD = "/usr/sbin/sshd -i -o PermitRootLogin=prohibit-password -o UsePAM=no"
# The role does the same with a wheel on both releases.
ON_ONE = pytest.mark.parametrize(
    "installed",
    [
        pytest.param("12", marks=pytest.mark.xdist_group("debian-12")),
        pytest.param("13", marks=[pytest.mark.xdist_group("debian-13"), pytest.mark.soak]),
    ],
    indirect=True,
)
PACKAGES = ("ca-certificates", "openssh-server", "python3-apt")
EXPORTER = "cachetune-exporter.service"
HOOK = "etc/libvirt/hooks/qemu.d/cachetune"
RUNNING = (
    "<domain type='kvm' id='3'><name>web</name><vcpu>2</vcpu><cputune><cachetune vcpus='0'>"
    "<cache id='0' level='3' type='both' size='2' unit='MiB'/></cachetune></cputune></domain>"
)
METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9751/metrics').read().decode())"


class Host(NamedTuple):
    """A booted root without cachetune, and the controller; ``deb`` is a path here. Each test leaves it so."""

    root: Root
    controller: Controller
    deb: str


@pytest.fixture(scope="module")
def host(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    directory = tmp_path_factory.mktemp("controller")
    root = installed.root.copy(tmp_path_factory.mktemp("host") / "root")
    root.install(*PACKAGES)
    root.run("apt-get", "-qy", "purge", "cachetune")
    # The booted root has no network: what a wheel needs of Debian is fetched, but not yet installed.
    root.install("--download-only", "python3-venv", "python3-packaging")
    (root.directory / "etc/libvirt/hooks").mkdir(parents=True)
    admit(root, directory)
    python = f"/usr/bin/python{PYTHONS[installed.release]}"
    with root.booted() as booted:
        booted.run("mkdir", "-p", "/run/sshd")
        proxy = " ".join([*booted._enter(), SSHD])
        with connected(directory, ["-o", f"ProxyCommand={proxy}"], python) as controller:
            yield Host(booted, controller, f"{root.directory}{installed.deb}")


@pytest.fixture(scope="session")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "-w", directory]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, checkout], check=True)
    (built,) = directory.glob("cachetune-*.whl")
    return built


def of_packages(root: Root) -> set[str]:
    """The files and directories of all Debian packages."""
    lists = (root.directory / "var/lib/dpkg/info").glob("*.list")
    return {line.lstrip("/") for path in lists for line in path.read_text().splitlines()}


def new_files(root: Root, before: set[str]) -> set[str]:
    """Those that neither were there before nor belong to a package, nor are made by Python and systemd as they run."""
    mine = (path for path in root.files() - before - of_packages(root) if "__pycache__" not in path)
    return {path for path in mine if not path.startswith(("run/", "var/tmp/", "var/lib/systemd/", "var/log/journal"))}


def test_the_role_installs_the_package_starts_the_services_and_removes_all(host: Host) -> None:
    # No agent and no mount: the root has no resctrl, so neither would start.
    wanted = {"cachetune_package": host.deb, "cachetune_agent": False, "cachetune_mount": False}
    wanted["cachetune_exporter"] = True
    play, root = host.controller.play, host.root
    assert play(wanted)["changed"] > 0
    assert root.run("systemctl", "is-enabled", EXPORTER) == "enabled\n"
    assert root.run("systemctl", "is-active", EXPORTER) == "active\n"
    assert play(wanted)["changed"] == 0
    assert play({**wanted, "cachetune_state": "absent"})["changed"] > 0
    assert not (root.directory / "usr/bin/cachetune").exists()
    # exit 3 in Debian 12; 4, for a unit that does not exist, in Debian 13
    assert root.sh(f"systemctl is-active {EXPORTER} || test $? -ge 3") == "inactive\n"


@ON_ONE
def test_the_role_installs_a_wheel_with_its_service_and_hook_and_leaves_nothing_of_it(host: Host, wheel: Path) -> None:
    play, root = host.controller.play, host.root
    before = root.files()
    wanted: dict[str, object] = {"cachetune_package": str(wheel), "cachetune_agent": False, "cachetune_mount": False}
    wanted |= {"cachetune_exporter": True, "cachetune_hook": True, "cachetune_options": {"hook": "--strict"}}
    wanted["cachetune_pip_arguments"] = f"--no-index --find-links {WHEELS}"
    assert play(wanted)["changed"] > 0
    assert {path for path in new_files(root, before) if not path.startswith("opt/cachetune/")} == {
        "opt/cachetune",
        "usr/local/bin/cachetune",
        "usr/local/bin/cachetune-hook",
        f"etc/systemd/system/{EXPORTER}",
        f"etc/systemd/system/multi-user.target.wants/{EXPORTER}",
        "etc/libvirt/hooks/qemu.d",
        HOOK,
        "etc/logrotate.d/cachetune",
        "etc/default/cachetune",
    }
    service = root.run("systemctl", "show", "-P", "ExecStart", EXPORTER)
    assert "/opt/cachetune/bin/cachetune exporter" in service
    assert root.run("systemctl", "show", "-P", "NRestarts", EXPORTER) == "0\n"
    assert "cachetune_up 0.0\n" in root.run("/opt/cachetune/bin/python", "-c", METRICS)
    refused = root.run(f"/{HOOK}", "web", "prepare", "begin", "-", stdin=RUNNING, code=1)
    assert refused.startswith("cachetune-hook: prepare of web: ")
    started = root.run("systemctl", "show", "-P", "MainPID", EXPORTER)

    assert play(wanted)["changed"] == 0
    assert root.run("systemctl", "show", "-P", "MainPID", EXPORTER) == started
    assert play({**wanted, "cachetune_state": "absent"})["changed"] > 0
    assert new_files(root, before) == set()
    assert root.run("systemctl", "show", "-P", "LoadState,ActiveState", EXPORTER) == "not-found\ninactive\n"


@pytest.mark.soak
def test_removal_of_what_is_not_installed_changes_nothing(host: Host, wheel: Path) -> None:
    for package in (host.deb, str(wheel)):
        absent = {"cachetune_package": package, "cachetune_state": "absent"}
        assert host.controller.play(absent)["changed"] == 0


@ON_ONE
def test_a_host_without_resctrl_is_refused_before_anything_is_installed(host: Host, wheel: Path) -> None:
    before = host.root.files()
    code, text = host.controller.try_to_play({"cachetune_package": str(wheel)})
    assert code == 2
    assert re.search(r"the kernel has no /sys/fs/resctrl .*cachetune_agent", text.replace("\n", " "))
    assert new_files(host.root, before) == set()
