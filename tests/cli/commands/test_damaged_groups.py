"""Whatever is wrong with another program's group: a host is shown, our guest is planned and its counters are read."""

import random
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cachetune.cli.main import command
from tests.host.test_groups import FOREIGN, damage
from tests.host.trees import SKYLAKE, below, make

DOMAIN = """\
<domain type='kvm'><name>new</name><vcpu>4</vcpu><cputune>
<cachetune vcpus='0-1'><cache id='0' level='3' type='both' size='4608' unit='KiB'/></cachetune>
</cputune></domain>
"""
COUNTERS = {f"mon_data/mon_L3_00/{event}": "4096" for event in ("llc_occupancy", "mbm_total_bytes", "mbm_local_bytes")}


def run(*words: object) -> Result:
    result = CliRunner().invoke(command, [str(word) for word in words], env={"COLUMNS": "200"})
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with our guest web, another program's group nic, and room for one more guest."""
    tree = {name: text for name, text in SKYLAKE.items() if not name.startswith("qemu")}
    tree |= {**FOREIGN, "nic/schemata": "L3:0=c;1=c\nMB:0=50;1=50"}
    for group in ("", "nic/", "nic/mon_groups/inner/", "cachetune-web-vcpus_0-1/"):
        tree |= below(group.rstrip("/"), COUNTERS) if group else COUNTERS
    return make(tmp_path / "resctrl", tree)


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    path = tmp_path / "new.xml"
    path.write_text(DOMAIN)
    return path


def test_a_device_in_a_foreign_group_stops_no_verb(root: Path, domain: Path) -> None:
    (root / "nic/tasks").write_text("301\niommu_group:17\n")
    assert "nic" in run("show", "--resctrl", root).stdout
    planned = run("plan", "--resctrl", root, "--shrink-default", domain)
    assert (planned.exit_code, "nic" in planned.stdout) == (0, False)
    assert run("monitor", "--resctrl", root, "--machine-name", "cachetune-web").exit_code == 0


@pytest.mark.parametrize(
    ("name", "text"), [("schemata", ""), ("mode", "x"), ("tasks", "two"), ("cpus_list", "0-x"), ("schemata", "L3:0=zz")]
)
def test_each_verb_names_the_damaged_file(name: str, text: str, root: Path, domain: Path) -> None:
    (root / "nic" / name).write_text(text)
    for words in (("show",), ("plan", "--shrink-default", domain), ("monitor", "--machine-name", "cachetune-web")):
        result = run(*words, "--resctrl", root)
        assert (result.exit_code, f"nic/{name}: " in result.stderr.replace("\n", "")) == (0, True), result.stderr


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_to_a_foreign_group_stops_a_verb(seed: int, root: Path, domain: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    file = chance.choice(sorted(path for path in (root / "nic").rglob("*") if path.is_file()))
    damage(file, chance)
    runs = [
        run("show", "--resctrl", root),
        run("plan", "--resctrl", root, "--shrink-default", domain),
        run("monitor", "--resctrl", root, "--machine-name", "cachetune-web"),
    ]
    assert [result.exit_code for result in runs] == [0, 0, 0], [result.stderr for result in runs]
    assert "- nic" not in runs[1].stdout
    assert "~ nic" not in runs[1].stdout
    if "warning" in runs[0].stderr:  # some damage, such as fewer thread ids, cannot be noticed
        assert str(file.relative_to(root)) in runs[0].stderr.replace("\n", "")
