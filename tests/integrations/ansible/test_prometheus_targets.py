"""The targets of Prometheus from an inventory: the playbook, and the line for those without the collection."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests import waiting
from tests.integrations.ansible.playing import ROOT, settings
from tests.missing import skip_without

pytestmark = pytest.mark.slow
PAGE = (ROOT / "docs" / "how-to" / "prometheus-fleet.md").read_text()
HYPERVISORS = {
    "node-1": {"ansible_host": "192.0.2.11", "cachetune_prometheus_labels": {"site": "berlin", "rack": 7}},
    "node-2": {"ansible_host": "2001:db8::2", "cachetune_exporter_port": 9752},
    "node-3": {"cachetune_exporter_address": "{{ inventory_hostname }}.example"},
    "node-4": {},
    'n"5\\': {"ansible_host": '192.0.2.15"', "cachetune_prometheus_labels": {"a": 'b"c\n', "instance": "node-1"}},
}


def inventory(directory: Path) -> Path:
    """An inventory with a host for Prometheus, this machine, and the hypervisors."""
    monitoring = {"hosts": {"localhost": {"ansible_connection": "local"}}}
    groups = {"prometheus": monitoring, "hypervisors": {"hosts": HYPERVISORS}}
    path = directory / "inventory.yml"
    path.write_text(json.dumps({"all": {"children": groups}}))  # JSON is YAML
    return path


def test_the_playbook_writes_all_hosts_but_prometheus_itself_with_their_addresses_and_labels(tmp_path: Path) -> None:
    targets = tmp_path / "targets"
    given = {"prometheus_become": False, "prometheus_directory": str(targets)}
    words = ("ansible-playbook", "cachetune.resctrl.prometheus", "-i", inventory(tmp_path), "-e", json.dumps(given))
    done = waiting.run(words, capture_output=True, text=True, env=settings(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((targets / "cachetune.json").read_text())
    assert {each["labels"].pop("instance"): (each["targets"], each["labels"]) for each in found} == {
        'n"5\\': (['192.0.2.15":9751'], {"a": 'b"c\n'}),
        "node-1": (["192.0.2.11:9751"], {"site": "berlin", "rack": "7"}),
        "node-2": (["[2001:db8::2]:9752"], {}),
        "node-3": (["node-3.example:9751"], {}),
        "node-4": (["node-4:9751"], {}),
    }


def test_the_line_of_the_page_writes_the_hosts_of_a_group(tmp_path: Path) -> None:
    if not shutil.which("jq"):
        skip_without("jq is missing")
    (line,) = re.findall(r"```sh\n(ansible-inventory .*?)```", PAGE, re.DOTALL)
    (tmp_path / "targets").mkdir()
    assert inventory(tmp_path).name == "inventory.yml"
    done = waiting.run(["sh", "-ec", line], capture_output=True, text=True, env=settings(tmp_path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "targets" / "cachetune.json").read_text())
    assert {"targets": ["192.0.2.11:9751"], "labels": {"instance": "node-1"}} in found
    assert {"targets": ["node-4:9751"], "labels": {"instance": "node-4"}} in found
    assert len(found) == len(HYPERVISORS)
