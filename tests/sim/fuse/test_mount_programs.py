"""Programs on a mount: cachetune with a real process, and Debian's pqos."""

import json
from pathlib import Path

import pytest

from cachetune.testing.guests import NamedThreads
from tests.pqos import need_pqos, pqos_sees
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse, run

pytestmark = pytest.mark.slow

DOMAIN = """\
<domain type='kvm'>
  <name>web</name>
  <vcpu>2</vcpu>
  <cputune>
    <cachetune vcpus='0'>
      <cache id='0' level='3' type='both' size='4608' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
  </cputune>
</domain>
"""


@pytest.fixture(autouse=True)
def _fuse() -> None:
    need_fuse()


def test_what_pqos_has_set_comes_back_to_pqos_through_convert_apply_and_export(tmp_path: Path) -> None:
    """pqos shows only its classes, so ours is exported for it."""
    need_pqos()
    words = "llc:0=0x7f8;llc@0:1=0x7;llc@1:1=0x3;mba:1=50"
    theirs, ours, back = (tmp_path / name for name in ("theirs", "ours", "back"))
    file, script = tmp_path / "web.xml", tmp_path / "set.sh"
    with (
        mounted(theirs, "--sysfs", theirs / "sys", profile="skylake-2s") as fs,
        NamedThreads("CPU 0/KVM", "CPU 1/KVM") as qemu,
    ):
        _pqos(fs, theirs / "sys", "-e", words)
        first = _class_1(_pqos(fs, theirs / "sys", "-s"))
        assert first == ["L3CA COS1 => MASK 0x7", "MBA COS1 => 50% available", "L3CA COS1 => MASK 0x3", first[1]]
        done = run("convert", "pqos", words, "--resctrl", fs.root, "--sysfs", theirs / "sys")
        assert (done.returncode, "class 0 is left out" in done.stderr) == (1, True)
        file.write_text(done.stdout)
        with mounted(ours, "--sysfs", ours / "sys", profile="skylake-2s") as other:
            places = ("--resctrl", other.root, "--sysfs", ours / "sys", "--run", tmp_path / "run")
            who = ("--pid", str(qemu.pid), "--machine-name", "cachetune-web", "--shrink-default", file)
            done = run("apply", "--yes", *places, *who)
            assert done.returncode == 0, done.stderr
            assert run("export", "--format", "pqos", *places[:2], *places[4:], "-o", script).returncode == 0
        with mounted(back, "--sysfs", back / "sys", profile="skylake-2s") as other:
            pqos_sees(["/bin/sh", "-e", str(script)], other.root, back / "sys")
            assert _class_1(_pqos(other, back / "sys", "-s")) == first


def _class_1(shown: str) -> list[str]:
    """The masks and the bandwidth of class 1 on each socket, as pqos shows them."""
    found = [line.strip() for line in shown.splitlines() if "COS1 =>" in line and ("MASK" in line or "%" in line)]
    assert found
    return found


def test_cachetune_works_on_the_mount_end_to_end(tmp_path: Path) -> None:
    file = tmp_path / "web.xml"
    file.write_text(DOMAIN)
    with (
        mounted(tmp_path / "m", "--sysfs", tmp_path / "sys", profile="skylake-2s") as fs,
        NamedThreads("CPU 0/KVM", "CPU 1/KVM") as qemu,
    ):
        places = ("--resctrl", fs.root, "--sysfs", tmp_path / "sys", "--run", tmp_path / "journal")
        who = ("--pid", str(qemu.pid), "--shrink-default", file)
        before = fs.read("schemata")
        assert run("plan", *places, *who).returncode == 0
        assert run("diff", *places, *who).returncode == 1
        done = run("apply", "--yes", *places, *who)
        assert done.returncode == 0, done.stderr
        assert run("diff", *places, *who).returncode == 0
        group = next(name for name in fs.listdir(".") if "web" in name)
        assert fs.read(f"{group}/tasks") == f"{qemu.tids['CPU 0/KVM']}\n"
        assert fs.read(f"{group}/size").splitlines()[1].strip().startswith("L3:0=4718592;"), "two ways of 2.25 MiB"
        assert "/" not in group
        assert str(qemu.tids["CPU 1/KVM"]) in fs.read("tasks").split()
        seen = run("monitor", "--json", "--resctrl", fs.root, "--run", tmp_path / "journal", file)
        assert json.loads(seen.stdout)["monitors"][0]["path"] == group
        gone = run("remove", "--yes", *places, file)
        assert gone.returncode == 0, gone.stderr
        assert group not in fs.listdir(".")
        assert str(qemu.tids["CPU 0/KVM"]) in fs.read("tasks").split()
        assert fs.read("schemata").split()[1].split(";")[1] == before.split()[1].split(";")[1]


def test_pqos_reads_and_changes_the_mount(tmp_path: Path) -> None:
    need_pqos()
    sysfs = tmp_path / "sys"
    with mounted(tmp_path, "--sysfs", sysfs, profile="icelake") as fs:
        assert "L3 CAT" in _pqos(fs, sysfs, "-d")
        assert "L3CA COS0 => MASK 0xfff" in _pqos(fs, sysfs, "-s")
        assert "Allocation configuration altered" in _pqos(fs, sysfs, "-e", "llc:1=0x3f")
        assert "L3CA COS1 => MASK 0x3f" in _pqos(fs, sysfs, "-s")
        assert "03f" in fs.read("COS1/schemata")
        assert "pqos" in run("show", "--resctrl", fs.root).stdout


def _pqos(fs: Mounted, sysfs: Path, *words: str) -> str:
    return pqos_sees(["pqos", "--iface=os", *words], fs.root, sysfs)


@pytest.mark.parametrize(
    ("profile", "default", "group"),
    [
        ("skylake-2s", ["L3:0=7f0"], ["L3:0=c", "MB:0=50"]),
        ("sapphire-rapids-cdp", ["L3CODE:0=ff0", "L3DATA:0=ff0"], ["L3CODE:0=3", "L3DATA:0=c", "L2:3=f", "MB:0=50"]),
        ("sapphire-rapids-mbps", ["L3:0=ff0"], ["L3:0=c", "MB:0=3000"]),
    ],
)
def test_pqos_makes_the_same_schemata_from_an_export(
    tmp_path: Path, profile: str, default: list[str], group: list[str]
) -> None:
    need_pqos()
    ours, theirs, script = tmp_path / "ours", tmp_path / "theirs", tmp_path / "set.sh"
    web = "cachetune-web-vcpus_0-1"
    with (
        mounted(ours, "--sysfs", ours / "sys", profile=profile) as fs,
        NamedThreads("CPU 0/KVM", "CPU 1/KVM") as qemu,
    ):
        fs.mkdir(web)
        for path, lines in (("schemata", default), (f"{web}/schemata", group)):
            for line in lines:
                fs.write(path, f"{line}\n")
        fs.write(f"{web}/tasks", str(qemu.tids["CPU 1/KVM"]))
        done = run("export", "--format", "pqos", "--resctrl", fs.root, "--run", tmp_path / "run", "-o", script)
        assert (done.returncode, done.stderr) == (0, "")
        with mounted(theirs, "--sysfs", theirs / "sys", profile=profile) as copy:
            pqos_sees(["/bin/sh", "-e", str(script)], copy.root, theirs / "sys")
            assert copy.read("schemata") == fs.read("schemata")
            assert copy.read("COS1/schemata") == fs.read(f"{web}/schemata")
            assert copy.read("COS1/tasks").split() == [str(qemu.tids["CPU 1/KVM"])]
