"""The agent beside a real libvirt: its events, hotplug, restarts of libvirtd, and groups that libvirt made."""

import importlib.util
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.agent.live import TUNING, LiveAgent, notify_socket
from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost
from tests.missing import skip_without

pytestmark = pytest.mark.libvirt
GROUP = "cachetune-web-vcpus_0-3"
LIBVIRTS_GROUP = "qemu-{id}-web-vcpus_0-1"


@pytest.fixture(scope="module")
def libvirt_python() -> None:
    """Skip without events, with the reason; in CI that is a failure."""
    if not importlib.util.find_spec("libvirt"):
        skip_without("libvirt-python is missing")


@pytest.fixture
def guests_d(host: LibvirtHost) -> Iterator[Path]:
    directory = host.root / "etc/cachetune/guests.d"
    directory.mkdir(parents=True, exist_ok=True)
    yield directory
    for file in directory.iterdir():
        file.unlink()


@contextmanager
def agent(host: LibvirtHost, directory: Path, *options: str) -> Iterator[LiveAgent]:
    """An agent inside that runs a round on libvirt's events, on request, and once an hour."""
    with notify_socket(directory / "notify") as notifications:
        words = ("cachetune", "agent", "--period", "3600", *options)
        with host.popen(*words, env={"NOTIFY_SOCKET": notifications.getsockname()}) as process:

            def send(number: signal.Signals) -> None:
                host.run("kill", f"-{number}", str(status(host)["pid"]), check=True)

            try:
                yield LiveAgent(process, notifications, send, host.pids)
            finally:
                if process.poll() is None:
                    send(signal.SIGKILL)


def status(host: LibvirtHost) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((host.root / "run/cachetune/agent.json").read_text())
    return document


def state(host: LibvirtHost, name: str = "web") -> str:
    return next((str(guest["state"]) for guest in status(host)["guests"] if guest["name"] == name), "")


def placed(host: LibvirtHost) -> dict[str, object]:
    """All groups, less the threads in the default group, which come and go."""
    return {path: group if path != "." else group.schemata for path, group in host.tree().items()}


def test_libvirts_events_place_and_remove_a_guest_at_once(
    host: LibvirtHost,
    guests_d: Path,
    tmp_path: Path,
    libvirt_python: None,  # noqa: ARG001
) -> None:
    (guests_d / "web.xml").write_text(TUNING.format(vcpus="0-3", kib=2304))
    before = host.tree()
    host.define(domain("web", "", current=2))
    with agent(host, tmp_path) as keeping:
        keeping.ready()
        keeping.until(lambda: status(host)["libvirt_events"])
        assert state(host) == "waiting"
        host.start("web")
        keeping.until(lambda: state(host) == "placed")
        assert host.tree()[GROUP].tids == tuple(sorted(host.vcpu_tids("web").values()))

        host.virsh("setvcpus", "web", "3", "--live", check=True)
        keeping.look()
        assert len(host.tree()[GROUP].tids) == 3
        assert host.tree()[GROUP].tids == tuple(sorted(host.vcpu_tids("web").values()))

        host.stop_libvirtd()
        keeping.until(lambda: not status(host)["libvirt_events"])
        keeping.look()
        assert state(host) == "placed", "the guest has not ended"
        host.start_libvirtd()
        keeping.until(lambda: status(host)["libvirt_events"])

        host.destroy("web")
        keeping.until(lambda: state(host) == "waiting")
        assert host.tree().keys() == before.keys()
        assert host.tree()["."].schemata == before["."].schemata
        host.start("web")
        keeping.until(lambda: state(host) == "placed")
        assert host.tree()[GROUP].tids == tuple(sorted(host.vcpu_tids("web").values()))
        host.destroy("web")
        keeping.until(lambda: state(host) == "waiting")
        said = keeping.end()
    host.virsh("undefine", "web", check=True)
    assert [line for line in said if line.startswith("error")] == []


def test_drift_of_libvirts_groups_is_reported_and_repaired_only_with_adopt(
    host: LibvirtHost,
    guests_d: Path,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    assert host.create(domain("web")).returncode == 0
    tids = host.vcpu_tids("web")
    number = host.virsh("domid", "web", check=True).stdout.strip()
    group = LIBVIRTS_GROUP.format(id=number)
    with agent(host, tmp_path) as keeping:
        keeping.ready()
        assert state(host) == "placed"
        host.write("tasks", str(tids[1]))
        keeping.look()
        keeping.until(lambda: state(host) == "drifted")
        assert host.tree()[group].tids == (tids[0],)
        shown = host.cachetune("agent", "status")
        assert (shown.returncode, "drifted" in shown.stdout) == (1, True)
        said = keeping.end()
    assert [line for line in said if "drifted" in line] == [
        f"warning: web: drifted: to match its XML: move 1 task from the default group to {group}"
    ]
    with agent(host, tmp_path, "--adopt") as keeping:
        keeping.ready()
        assert state(host) == "placed"
        assert host.tree()[group].tids == (tids[0], tids[1])
        host.destroy("web")
        keeping.look()
        assert status(host)["guests"] == []
        keeping.end()
    assert host.tree().keys() == {"."}


def test_a_guest_with_both_a_file_and_tuning_in_its_xml_is_left_to_libvirt(
    host: LibvirtHost, guests_d: Path, tmp_path: Path
) -> None:
    (guests_d / "web.xml").write_text(TUNING.format(vcpus="0-3", kib=2304))
    assert host.create(domain("web")).returncode == 0
    before = placed(host)
    with agent(host, tmp_path) as keeping:
        keeping.ready()
        assert state(host) == "failed"
        assert placed(host) == before
        host.destroy("web")
        keeping.look()
        assert state(host) == "waiting"
        keeping.end()
    assert host.tree().keys() == {"."}
