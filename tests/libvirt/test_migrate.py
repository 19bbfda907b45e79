"""Live migration between two hosts with unlike caches: the hook places the guest on arrival, and takes it away behind.

Two libvirtds, each with its own resctrl; virsh is a client of both, and the memory goes through a socket in /tmp.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest

from tests import waiting
from tests.libvirt.domains import domain
from tests.libvirt.host import Group, LibvirtHost
from tests.libvirt.test_hook import installed

pytestmark = [pytest.mark.libvirt, pytest.mark.xdist_group("migrate")]

TWO_WAYS = "<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>"
GROUP = "cachetune-web-vcpus_0-1"
# Beside our hook: which operations libvirt calls.
CALLS = '#!/bin/sh\necho "$2 $3" >> /run/calls\n'


class Pair(NamedTuple):
    """Host a has 11 ways of 2.25 MiB in each of two caches, host b 12 ways of 3 MiB in one."""

    a: LibvirtHost
    b: LibvirtHost

    def migrate(self, name: str, *options: str | Path) -> subprocess.CompletedProcess[str]:
        """Move a guest from a to b while it is up. It is paused, so that nothing writes to its memory."""
        memory = f"unix:///tmp/migrate-{uuid4().hex}.sock"
        words = ["virsh", "-q", "-c", _uri(self.a), "migrate", "--live", *options, "--migrateuri", memory]
        return waiting.run(
            [*map(str, words), name, _uri(self.b)], text=True, capture_output=True, also=[*self.a.pids, *self.b.pids]
        )

    def snapshots(self, directory: Path) -> tuple[Path, Path]:
        """A snapshot of each host."""
        files = directory / "a.json", directory / "b.json"
        for host, file in zip(self, files, strict=True):
            file.write_text(host.run("cachetune", "snapshot", check=True).stdout)
        return files


def _uri(host: LibvirtHost) -> str:
    return f"qemu+unix:///system?socket={host.root}/run/libvirt/libvirt-sock"


@pytest.fixture(scope="module")
def pair(libvirt_here: None) -> Iterator[Pair]:  # noqa: ARG001 - wanted for what it says
    files = installed("--strict", "--shrink-default") | {"/etc/libvirt/hooks/qemu.d/calls": CALLS}
    with (
        LibvirtHost("skylake-2s", files=files, name="node-a") as a,
        LibvirtHost("icelake", files=files, name="node-b") as b,
    ):
        yield Pair(a, b)


def calls(host: LibvirtHost) -> list[str]:
    """The operations that libvirt has called since the last time."""
    file = host.root / "run/calls"
    found = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def tuning_file(host: LibvirtHost) -> Path:
    return host.root / "etc/cachetune/guests.d/web.xml"


def l3_of(group: Group) -> str:
    return group.schemata.split()[-1]


def test_a_guest_with_tuning_files_is_placed_on_arrival_and_leaves_nothing_behind(pair: Pair, tmp_path: Path) -> None:
    a, b = pair
    fresh = [host.read("schemata") for host in pair]
    tuning_file(a).write_text(f"<cputune>{TWO_WAYS}</cputune>")
    a.define(domain("web", "", vcpus=2))
    a.start("web")
    assert l3_of(a.tree()[GROUP]) == "L3:0=003;1=7ff"

    # B cannot have 36 MiB: libvirt leaves the guest where it is, with its groups.
    tuning_file(b).write_text(f"<cputune>{TWO_WAYS.replace('4608', '36864')}</cputune>")
    calls(a)
    refused = pair.migrate("web")
    assert refused.returncode == 1
    assert "cachetune-hook: prepare of web: error: /etc/cachetune/guests.d/web.xml:1:69: 36 MiB is the whole" in (
        refused.stderr
    )
    assert (calls(a), calls(b)) == ([], ["migrate begin", "prepare begin", "stopped end", "release end"])
    assert a.tree()[GROUP].tids == tuple(a.vcpu_tids("web").values())
    assert b.read("schemata") == fresh[1]

    snapshots = pair.snapshots(tmp_path)
    made = a.cachetune("fit", "--shrink-default", "--from", snapshots[0], "--guest", "web", snapshots[1], "-o", "-")
    assert (made.returncode, made.stderr) == (0, "")
    tuning_file(b).write_text(made.stdout)
    moved = pair.migrate("web", "--persistent", "--undefinesource")
    assert moved.returncode == 0, moved.stderr
    assert calls(a) == ["stopped end", "release end"]
    assert calls(b) == ["migrate begin", "prepare begin", "start begin", "started begin"]
    assert l3_of(b.tree()[GROUP]) == "L3:0=003"  # 6 MiB, rounded up from 4.5
    assert b.tree()[GROUP].tids == tuple(b.vcpu_tids("web").values())
    assert b.cachetune("diff", "--guest", "web", "--shrink-default").returncode == 0
    assert ({*a.tree()}, a.read("schemata")) == ({"."}, fresh[0])

    b.destroy("web")
    assert ({*b.tree()}, b.read("schemata")) == ({"."}, fresh[1])
    b.virsh("undefine", "web", check=True)
    for host in pair:
        tuning_file(host).unlink()


def test_a_guest_with_cachetune_in_its_xml_needs_the_other_hosts_values_in_the_xml_that_it_arrives_with(
    pair: Pair, tmp_path: Path
) -> None:
    a, b = pair
    a.define(domain("own", TWO_WAYS, vcpus=2))
    a.start("own")
    refused = pair.migrate("own")
    assert refused.returncode == 1
    assert "4608 KiB is not a multiple of the way size 3 MiB of L3 cache 0 [CT205]" in refused.stderr
    assert b.tree().keys() == {"."}

    snapshots = pair.snapshots(tmp_path)
    made = a.cachetune("fit", "--shrink-default", "--from", snapshots[0], "--guest", "own", snapshots[1], "-o", "-")
    assert made.returncode == 0, made.stderr
    cputune = made.stdout[made.stdout.index("<cputune>") :]
    xml = a.virsh("dumpxml", "own", "--migratable", check=True).stdout
    (tmp_path / "own.xml").write_text(re.sub("<cputune>.*</cputune>", cputune, xml, flags=re.DOTALL))
    moved = pair.migrate("own", "--xml", tmp_path / "own.xml")
    assert moved.returncode == 0, moved.stderr
    (group,) = b.tree().keys() - {"."}
    assert (re.sub("[0-9]+", "N", group, count=1), l3_of(b.tree()[group])) == ("qemu-N-own-vcpus_0-1", "L3:0=003")
    assert a.tree().keys() == {"."}
    b.destroy("own")
    assert ({*b.tree()}, l3_of(b.tree()["."])) == ({"."}, "L3:0=fff")
    a.virsh("undefine", "own", check=True)
