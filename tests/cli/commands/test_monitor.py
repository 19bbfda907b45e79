import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from cachetune.errors import HostError, InputError
from tests.host.trees import LIBVIRT, SKYLAKE, Tree, below, make

GUEST = """\
<domain type='kvm'{id}>
  <name>{name}</name>
  <vcpu>4</vcpu>
  <cputune>
    <cachetune vcpus='0-1'{group}>
      <cache id='0' level='3' type='both' size='4608' unit='KiB'/>
      <monitor level='3' vcpus='0'/>
    </cachetune>
  </cputune>
</domain>
"""
WEB = "cachetune-web-vcpus_0-1"
DB = "qemu-3-db-vcpus_0"


def l3(cache_id: int, *values: str) -> Tree:
    names = ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")
    return below(f"mon_data/mon_L3_{cache_id:02d}", dict(zip(names, values, strict=True)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    tree = {
        **SKYLAKE,
        **l3(0, "23068672", "1073741824", "536870912"),
        **l3(1, "Unavailable", "Error", "Unassigned"),
        **below(WEB, l3(0, "1536", "0", "0")),
        **below(f"{WEB}/mon_groups/cachetune-web-vcpus_0", l3(0, "1024", "0", "0")),
        **below(DB, l3(0, "7", "0", "0")),
        **below("mon_groups/cadvisor-a", l3(0, "9", "9", "9")),
    }
    return make(tmp_path / "resctrl", tree)


def run(*words: object) -> Result:
    result = CliRunner().invoke(command, ["monitor", *(str(word) for word in words)], env={"COLUMNS": "80"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def paths(*words: object) -> list[str]:
    return [monitor["path"] for monitor in json.loads(run("--json", *words).stdout)["monitors"]]


PAGE = """\
GROUP                    CACHE  LLC_OCCUPANCY  MBM_TOTAL   MBM_LOCAL
. (default group)        0             22 MiB      1 GiB     512 MiB
                         1        Unavailable      Error  Unassigned
cachetune-web-vcpus_0-1  0            1.5 KiB        0 B         0 B
  cachetune-web-vcpus_0  0              1 KiB        0 B         0 B
qemu-3-db-vcpus_0        0                7 B        0 B         0 B
"""


def test_values_have_units_and_missing_readings_keep_the_kernels_word(root: Path) -> None:
    assert run("--resctrl", root).output == PAGE


METRICS = f"""\
# HELP cachetune_group_llc_occupancy_bytes Bytes of the cache that hold data of a control group's threads
# TYPE cachetune_group_llc_occupancy_bytes gauge
cachetune_group_llc_occupancy_bytes{{cache_id="0",group="{WEB}",guest="web",resource="L3",vcpus="0-1"}} 1536.0
"""


def test_metrics_for_prometheus_are_those_of_the_groups_selected(root: Path) -> None:
    text = run("--resctrl", root, "--machine-name", "cachetune-web", "--prometheus").stdout
    assert text.startswith(METRICS)
    assert f'cachetune_monitor_llc_occupancy_bytes{{cache_id="0",group="{WEB}",guest="web",monitor=' in text
    assert 'group="."' not in text
    assert "cachetune_up" not in text


def test_without_a_guest_the_default_group_libvirts_groups_and_ours_are_read(root: Path) -> None:
    assert paths("--resctrl", root) == [".", WEB, f"{WEB}/mon_groups/cachetune-web-vcpus_0", DB]


def test_a_machine_name_selects_its_groups(root: Path) -> None:
    assert paths("--resctrl", root, "--machine-name", "qemu-3-db") == [DB]


def test_a_machine_name_does_not_match_by_prefix(root: Path) -> None:
    with pytest.raises(InputError, match="no groups of 'qemu-3'") as caught:
        run("--resctrl", root, "--machine-name", "qemu-3")
    assert caught.value.hint == "groups exist for cachetune-web, qemu-3-db"


def test_a_guests_xml_selects_its_groups(root: Path, tmp_path: Path) -> None:
    guest = tmp_path / "web.xml"
    guest.write_text(GUEST.format(id="", name="web", group=""))
    assert paths("--resctrl", root, guest) == [WEB, f"{WEB}/mon_groups/cachetune-web-vcpus_0"]


def test_live_xml_with_ids_selects_its_groups(root: Path, tmp_path: Path) -> None:
    make(root, below("qemu-5-app-mine", {**l3(0, "1", "1", "1"), "tasks": "", "schemata": "", "mode": "shareable"}))
    guest = tmp_path / "app.xml"
    guest.write_text(GUEST.format(id=" id='5'", name="app", group=" id='mine'"))
    assert paths("--resctrl", root, guest) == ["qemu-5-app-mine"]


def test_invalid_xml_is_refused_with_its_findings(tmp_path: Path) -> None:
    guest = tmp_path / "bad.xml"
    guest.write_text("<domain>")
    command = [sys.executable, "-m", "cachetune.cli.main", "monitor", "--host", "sim:skylake-2s", guest]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    finding, _, error = done.stderr.splitlines()[:3]
    assert finding.startswith(f"{guest}:1:9: error: ")
    assert finding.endswith(" [CT001]")
    assert error == "error: the XML is not valid: 1 error"


def test_a_host_without_monitoring_is_refused(tmp_path: Path) -> None:
    root = make(tmp_path, LIBVIRT["resctrl-skx"])
    with pytest.raises(HostError, match="no monitoring"):
        run("--resctrl", root)


def test_a_snapshot_has_no_counters(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no counters"):
        run("--host", tmp_path / "node7.json")


def test_a_simulated_host_has_counters() -> None:
    document = json.loads(run("--json", "--host", "sim:skylake-2s").output)
    assert document["source"] == "sim:skylake-2s"
    assert {c["state"] for c in document["monitors"][0]["counters"]} == {"ok"}


def test_package_telemetry_has_its_own_table(root: Path) -> None:
    make(root, below("info/PERF_PKG_MON", {"mon_features": "core_energy", "num_rmids": "576"}))
    make(root, {"mon_data/mon_PERF_PKG_00/core_energy": "12.5"})
    table = run("--resctrl", root, "--machine-name", "qemu-3-db").output
    assert "package" not in table
    assert [line.split() for line in run("--resctrl", root).output.splitlines()[-2:]] == [
        ["GROUP", "PACKAGE", "CORE_ENERGY", "(joules)"],
        [".", "(default", "group)", "0", "12.5"],
    ]


def test_a_group_without_counters_is_named(root: Path) -> None:
    make(root, below("qemu-9-new", {"tasks": "", "schemata": "", "mode": "shareable", "cpus_list": ""}))
    assert "No counters, or removed in the meantime: qemu-9-new\n" in run("--resctrl", root).output


def test_a_default_group_without_counters_is_not_named_by_its_path(tmp_path: Path) -> None:
    make(tmp_path, {name: text for name, text in SKYLAKE.items() if "mon_data" not in name})
    output = run("--resctrl", tmp_path).output
    assert output.startswith("No counters, or removed in the meantime: the default group")


def test_all_guests_is_refused_when_no_guest_runs(root: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    where = ("--proc", empty, "--libvirt-run", empty, "--cgroup", empty)
    with pytest.raises(InputError, match="no guests are running"):
        run("--resctrl", root, "--all-guests", *where)


@pytest.mark.parametrize("verb", ["plan", "diff", "apply", "remove", "monitor"])
def test_an_empty_guest_name_is_refused(verb: str) -> None:
    refused = CliRunner().invoke(command, [verb, "--guest", ""])
    assert refused.exit_code == 2
    assert "the name is empty" in refused.output
