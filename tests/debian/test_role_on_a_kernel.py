"""The role cachetune on a Debian that runs its own kernel, with a working resctrl: mount, agent, guest, and back."""

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests.debian.conftest import Installed
from tests.debian.controller import Controller, admit, connected
from tests.debian.root import PYTHONS
from tests.kernel import vm
from tests.kernel.conftest import require
from tests.kernel.scenarios import guest_process
from tests.kernel.vm.boot import booted, make_bootable
from tests.waiting import until

pytestmark = [pytest.mark.install, pytest.mark.soak]

KERNELS = {"12": "6.1", "13": "6.12"}
PACKAGES = ("openssh-server", "python3-apt")
SERVICES = ("cachetune-agent.service", "cachetune-exporter.service", "cachetune-record.service")
UNITS = ("sys-fs-resctrl.mount", *SERVICES)
GROUP = "/sys/fs/resctrl/cachetune-web-vcpus_0-1"
TUNING = "/etc/cachetune/guests.d/web.xml"
TEXT = (
    f"<cputune><cachetune vcpus='0-1'><cache id='0' level='3' type='data' size='{2 * vm.Rdt().l3_way_kib}' unit='KiB'/>"
    "</cachetune></cputune>"
)
# The threads that sleep are named as QEMU's; it ends with its standard input.
GUEST = (
    "systemd-run --quiet --unit=guest-web sh -c 'sleep infinity | exec /usr/lib/cachetune/bin/python3 "
    "/root/guest_process.py 2 -name guest=web,debug-threads=on'"
)
VCPUS = "grep -l '^CPU ./KVM' /proc/[0-9]*/task/*/comm"
TREE = r"""
cd /sys/fs/resctrl && find . -type d | sort &&
find . -name schemata -o -name mode -o -name cpus_list | sort | xargs grep -H .
"""
METRICS = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:9751/metrics').read().decode())"


class Story(NamedTuple):
    """What was found on the host: after the first run, with a guest, after the second run, and after the removal."""

    before: str
    first: dict[str, int]
    mount: str
    enabled: str
    fresh: str
    group: dict[str, str]
    vcpus: set[str]
    metrics: str
    doctor: Any
    status: dict[str, str]
    warnings: str
    failed: str
    second: dict[str, int]
    pids: tuple[str, str]
    agent: str
    removed: dict[str, int]
    after: str
    loaded: str
    left: str


@pytest.fixture(scope="module")
def story(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    kernel = KERNELS[installed.release]
    require(kernel)
    directory = tmp_path_factory.mktemp("controller")
    root = installed.root.copy(tmp_path_factory.mktemp("machine") / "root")
    root.install(*PACKAGES)
    root.run("apt-get", "-qy", "purge", "cachetune")
    shutil.copy(guest_process.__file__, root.directory / "root/guest_process.py")
    admit(root, directory)
    make_bootable(root.directory)
    machine = vm.Machine(sockets=1, registers=False, memory_mib=2048, kernel=kernel)
    python = f"/usr/bin/python{PYTHONS[installed.release]}"
    with booted(root.directory, machine, 3600) as options, connected(directory, options, python) as controller:
        yield tell(controller, f"{root.directory}{installed.deb}")


def wait(condition: Callable[[], object], what: str) -> None:
    """Wait while the machine, which is a child of this process, works."""
    until(condition, what, pids=[os.getpid()])


def tell(host: Controller, deb: str) -> Story:
    before = host.run("cat /proc/mounts")
    wanted: dict[str, object] = {"cachetune_package": deb, "cachetune_mount_options": ["cdp"]}
    wanted |= {"cachetune_exporter": True, "cachetune_recorder": True}
    wanted["cachetune_options"] = {"agent": "--shrink-default"}
    first = host.play(wanted)
    mount = host.run("findmnt -rno FSTYPE,OPTIONS /sys/fs/resctrl")
    enabled = host.run(f"systemctl is-enabled {' '.join(UNITS)}")
    fresh = host.run(TREE)
    host.run(GUEST)
    wait(lambda: len(host.run(f"{VCPUS} || true").splitlines()) == 2, "the guest")
    host.run(f'mkdir -p {TUNING.rpartition("/")[0]} && echo "{TEXT}" >{TUNING}')
    wait(lambda: host.run(f"cat {GROUP}/tasks || true").count("\n") == 2, "the group of the guest")
    group = {name: host.run(f"cat {GROUP}/{name}") for name in ("tasks", "schemata")}
    vcpus = {path.split("/")[4] for path in host.run(VCPUS).splitlines()}
    python = "/usr/lib/cachetune/bin/python3"
    metrics = host.run(f'{python} -c "{METRICS}"')
    doctor = json.loads(host.run("cachetune doctor --json || true"))
    status = {unit: host.run(f"systemctl status --no-pager {unit}") for unit in UNITS}
    warnings = host.run("journalctl -b --no-pager -o cat -p warning -u 'cachetune*' -u sys-fs-resctrl.mount")
    failed = host.run("systemctl --failed --no-legend")
    pid = "systemctl show -P MainPID cachetune-agent"
    running = host.run(pid)
    second = host.play(wanted)
    pids = running, host.run(pid)
    agent = host.run("cachetune agent status --json")
    host.run(f"rm {TUNING}")
    wait(lambda: host.run(f"test -d {GROUP} || echo removed") == "removed\n", "the end of the group")
    removed = host.play({**wanted, "cachetune_state": "absent"})
    after = host.run(TREE)
    loaded = host.run("systemctl list-units --all --plain --no-legend 'cachetune*'")
    left = host.run("find / -xdev -path /root -prune -o '(' -name '*cachetune*' -o -name '*resctrl*' ')' -print")
    return Story(
        before,
        first,
        mount,
        enabled,
        fresh,
        group,
        vcpus,
        metrics,
        doctor,
        status,
        warnings,
        failed,
        second,
        pids,
        agent,
        removed,
        after,
        loaded,
        left,
    )


def test_resctrl_is_mounted_now_and_at_boot_with_the_requested_options(story: Story) -> None:
    assert " resctrl " not in story.before
    kind, options = story.mount.split()
    assert (kind, "cdp" in options.split(",")) == ("resctrl", True)
    assert story.enabled.split() == ["enabled"] * len(UNITS)
    assert re.search(r"^\./schemata: *L3CODE:0=7ff$", story.fresh, re.MULTILINE)


def test_the_agent_places_a_guest_that_gets_a_tuning_file(story: Story) -> None:
    assert len(story.vcpus) == 2
    assert set(story.group["tasks"].split()) == story.vcpus
    (mask,) = re.findall(r"L3DATA:0=(\w+)", story.group["schemata"])
    assert int(mask, 16).bit_count() == 2


def test_the_exporter_shows_the_group(story: Story) -> None:
    assert "cachetune_up 1.0\n" in story.metrics
    assert re.search(r'cachetune_group_ways\{.*guest="web".*resource="L3DATA".*\} 2\.0', story.metrics)


def test_doctor_finds_no_problem_with_what_the_role_installed(story: Story) -> None:
    assert [check for check in story.doctor["checks"] if check["status"] == "fail"] == []


def test_every_unit_runs_without_a_warning(story: Story) -> None:
    for unit in SERVICES:
        assert re.search(r"Active: active \(running\)", story.status[unit]), story.status[unit]
    assert "Active: active (mounted)" in story.status["sys-fs-resctrl.mount"]
    assert (story.warnings, story.failed) == ("", "")


def test_a_second_run_changes_nothing_and_restarts_nothing(story: Story) -> None:
    assert story.second["changed"] == 0
    assert story.pids[0] == story.pids[1] != "0\n"


def test_removal_stops_the_services_and_leaves_resctrl_as_after_the_mount(story: Story) -> None:
    assert story.removed["changed"] > 0
    assert story.loaded == ""
    assert story.left == ""
    assert story.after == story.fresh
