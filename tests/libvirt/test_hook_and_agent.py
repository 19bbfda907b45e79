"""The hook and the agent on one host: both place the same guest, and neither obstructs the other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.libvirt.domains import domain
from tests.libvirt.host import LibvirtHost
from tests.libvirt.test_agent import agent, state
from tests.libvirt.test_hook import TWO_WAYS, installed, schemata

pytestmark = pytest.mark.libvirt
GROUP = "cachetune-file-vcpus_0-1"


@pytest.fixture(scope="module")
def host(libvirt_here: None) -> Iterator[LibvirtHost]:  # noqa: ARG001 - wanted for what it says
    """A fresh skylake-2s with the hook in its libvirtd, and a file in guests.d for the guest ``file``."""
    with LibvirtHost("skylake-2s", files=installed("--strict", "--shrink-default")) as host:
        yield host


@pytest.mark.parametrize("rounds", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_each_guest_is_placed_once_by_whichever_comes_first(rounds: int, host: LibvirtHost, tmp_path: Path) -> None:
    before = host.tree()
    host.define(domain("file", ""))
    with agent(host, tmp_path, "--period", "0.2", "--shrink-default") as keeping:
        keeping.ready()
        for _ in range(rounds):
            started = host.virsh("start", "file")
            assert started.returncode == 0, started.stderr
            keeping.until(lambda: state(host, "file") == "placed")
            tids = host.vcpu_tids("file")
            assert host.tree()[GROUP].tids == (tids[0], tids[1])
            own = host.create(domain("own", TWO_WAYS))
            assert own.returncode == 0, own.stderr
            keeping.until(lambda: state(host, "own") == "placed")
            host.destroy("file")
            keeping.until(lambda: state(host, "file") == "waiting")
            host.destroy("own")
            keeping.until(lambda: state(host, "own") == "")
            assert host.tree().keys() == before.keys()
            assert schemata(host) == "L3:0=7ff;1=7ff"
