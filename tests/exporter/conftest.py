"""Three hosts for all tests here: mounts with guests, exporters, a real Prometheus that scrapes them, Alertmanager."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests import waiting
from tests.agent.live import Scene
from tests.exporter.scrape import get
from tests.guests.qemu import need_qemu, running
from tests.integrations.ansible.playing import settings
from tests.missing import skip_without
from tests.sim.fuse.mounted import CACHETUNE, ROOT, mounted, need_fuse

MOST_SCRAPES = 40  # what is not there by then never will be
EXAMPLES = ROOT / "examples" / "prometheus"
RULES, FLEET_RULES = EXAMPLES / "cachetune.rules.yml", EXAMPLES / "cachetune-fleet.rules.yml"
PROFILES = {"node-1": "skylake-2s", "node-2": "milan", "node-3": "kunpeng-920-mpam"}
TUNING = """<cputune>
  <cachetune vcpus='0-1'>
    <cache id='{cache}' level='3' type='both' size='{ways}' unit='ways'/>
    <monitor level='3' vcpus='0'/>
  </cachetune>
  {more}
</cputune>
"""
HALF = "<memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>"


def need(program: str, package: str = "prometheus") -> str:
    """The path of a program of a Debian package. Skips without it; fails in CI."""
    found = shutil.which(program)
    if found is None:
        skip_without(f"{program} is missing (Debian package {package})")
    return found


class Watched(msgspec.Struct, frozen=True):
    """A host with a guest that has what it requests, ``placed``. ``proc`` shows only its guests' processes.

    The first host has two more: the request of ``drifted`` has changed since, ``refused`` requests all ways but one.
    """

    scene: Scene
    proc: Path
    placed: str
    drifted: str = ""
    refused: str = ""

    @contextmanager
    def exporter(self, *options: str | Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
        """An exporter of this host in a process; it ends with the block."""
        where = ("--proc", self.proc, *self.scene.where)
        words = [*CACHETUNE, "exporter", *map(str, where), *map(str, options)]
        env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()


def address_of(exporter: "subprocess.Popen[str]") -> str:
    """The address that an exporter listens on."""
    line = waiting.readline(exporter.stderr, "the exporter's address", pids=[exporter.pid])
    match = re.fullmatch(r"info: listening on https?://(.*)/metrics\n", line)
    assert match, line + (exporter.stderr.read() if exporter.stderr else "")
    return match[1]


class Prometheus(msgspec.Struct, frozen=True):
    """A real Prometheus at ``address``, with its files in ``directory``. Each host is the label ``instance``."""

    address: str
    directory: Path

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list(self._get("query", query=expression)["result"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def federated(self, *selectors: str) -> list[str]:
        """The samples that another Prometheus gets from this one."""
        words = urlencode([("match[]", selector) for selector in selectors])
        text = get(f"http://{self.address}/federate?{words}")[1]
        return [line for line in text.splitlines() if line and not line.startswith("#")]

    def until(self, expression: str) -> list[dict[str, Any]]:
        """The series of a query, as soon as there are any. Fails as ``eventually`` does."""
        found = list[dict[str, Any]]()

        def has_series() -> bool:
            found[:] = self.query(expression)
            return bool(found)

        self.eventually(has_series, expression)
        return found

    def eventually(self, condition: Callable[[], object], what: str) -> None:
        """Wait for the condition; fail if it does not hold after ``MOST_SCRAPES`` more.

        On a loaded machine a scrape can take longer than the second between two, and then there is nothing for a while.
        """
        last, holds = self.scrapes() + MOST_SCRAPES, False

        def is_over() -> bool:
            nonlocal holds
            holds = bool(condition())
            return holds or self.scrapes() > last

        waiting.until(is_over, what, self.scrapes)
        assert holds, f"not so after {MOST_SCRAPES} scrapes: {what}"

    def scrapes(self) -> int:
        """How often it has scraped the exporters, or tried: the least of them."""
        counts = self.query("min(count_over_time(up[1h]))")
        return sum(int(row["value"][1]) for row in counts)

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = json.loads(get(f"http://{self.address}/api/v1/{what}", data=urlencode(parameters).encode() or None)[1])
        assert answer["status"] == "success", answer
        return dict(answer["data"])


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Watched]]:
    """The hosts by name, with real QEMUs."""
    need_fuse()
    need_qemu()
    with ExitStack() as stack:
        yield {
            name: _watched(tmp_path_factory.mktemp(name), stack, profile, is_first=name == "node-1")
            for name, profile in PROFILES.items()
        }


def _watched(directory: Path, stack: ExitStack, profile: str, *, is_first: bool) -> Watched:
    mount = stack.enter_context(mounted(directory / "mount", profile=profile))
    scene, proc = Scene(directory, mount), directory / "proc"
    proc.mkdir()
    (cache,) = re.findall(r"^ *L3:(\d+)", mount.read("schemata"), re.MULTILINE)
    names = [f"{name}{uuid.uuid4().hex[:8]}" for name in (("web", "db", "big") if is_first else ("web",))]
    for name in names:
        (directory / name).mkdir()
        guest = stack.enter_context(running(directory / name, name, uuid=str(uuid.uuid4())))
        (proc / str(guest.pid)).symlink_to(f"/proc/{guest.pid}")
    more = HALF if is_first else ""
    for name in names[:2]:
        scene.write(name, TUNING.format(cache=cache, ways=2, more=more))
    done = scene.once()
    assert done.returncode == 0, done.stderr
    for name, ways in zip(names[1:], (1, 10), strict=False):
        scene.write(name, TUNING.format(cache=cache, ways=ways, more=more))
    return Watched(scene, proc, *names)


@pytest.fixture(scope="session")
def watched(fleet: Mapping[str, Watched]) -> Watched:
    """The host with a guest that drifted, and one that is refused."""
    return fleet["node-1"]


@pytest.fixture(scope="session")
def exporters(fleet: Mapping[str, Watched]) -> Iterator[dict[str, str]]:
    """The address of the exporter of each host."""
    with ExitStack() as stack:
        options = ("--listen", "127.0.0.1:0", "--interval", "0.5")
        started = {name: stack.enter_context(host.exporter(*options)) for name, host in fleet.items()}
        yield {name: address_of(process) for name, process in started.items()}


@pytest.fixture(scope="session")
def exporter(exporters: Mapping[str, str]) -> str:
    """The address of the exporter of ``watched``."""
    return exporters["node-1"]


class Alertmanager(msgspec.Struct, frozen=True):
    """A real Alertmanager at ``address``. ``sent`` are the path and the document of each notification."""

    address: str
    sent: list[tuple[str, dict[str, Any]]]

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that it knows."""
        return list(json.loads(get(f"http://{self.address}/api/v2/alerts")[1]))

    def add(self, *alerts: dict[str, str]) -> None:
        """Give it alerts with these labels, as Prometheus does."""
        documents = [{"labels": labels} for labels in alerts]
        header = {"Content-Type": "application/json"}
        get(f"http://{self.address}/api/v2/alerts", data=json.dumps(documents).encode(), **header)


@pytest.fixture(scope="session")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    """An Alertmanager with the example's routes, which notifies the test."""
    program, directory = need("prometheus-alertmanager", "prometheus-alertmanager"), tmp_path_factory.mktemp("alerts")
    with ExitStack() as stack:
        sent: list[tuple[str, dict[str, Any]]] = []
        receiver = stack.enter_context(receiving(sent))
        config, data = directory / "alertmanager.yml", f"--storage.path={directory}/data"
        example = quick((EXAMPLES / "alertmanager.yml").read_text())
        config.write_text(example.replace("127.0.0.1:9099", receiver))
        words = (program, f"--config.file={config}", data, "--cluster.listen-address=")
        address = serve(stack, lambda listen: [*words, f"--web.listen-address={listen}"], directory / "log")
        yield Alertmanager(address, sent)


@contextmanager
def receiving(sent: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """An HTTP server that keeps the JSON that is posted to it; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def prometheus(
    exporters: Mapping[str, str], alertmanager: Alertmanager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """A Prometheus with the examples' files that has scraped the exporters more than once."""
    program, directory = need("prometheus"), tmp_path_factory.mktemp("prometheus")
    for example in (EXAMPLES / "prometheus.yml", RULES, FLEET_RULES):
        text = quick(example.read_text()).replace("127.0.0.1:9093", alertmanager.address)
        (directory / example.name).write_text(text)
    written = write_targets(directory, exporters)
    assert written.returncode == 0, written.stdout + written.stderr
    with ExitStack() as stack:
        where = (f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data")
        address = serve(stack, lambda listen: [program, *where, f"--web.listen-address={listen}"], directory / "log")
        found = Prometheus(address, directory)
        found.until("count(count_over_time(cachetune_readings_total[1m]) > 2) == 3")
        yield found


@pytest.fixture(scope="session")
def drifted_by_hand(fleet: Mapping[str, Watched], prometheus: Prometheus) -> str:
    """The guest of node-2, after someone has given its group other ways by hand."""
    host = fleet["node-2"]
    assert prometheus.until(f'cachetune_guest_drifted{{instance="node-2", guest="{host.placed}"}} == 0')
    (group,) = host.scene.groups()
    (cache,) = re.findall(r"^ *L3:(\d+)", host.scene.mount.read(f"{group}/schemata"), re.MULTILINE)
    host.scene.mount.write(f"{group}/schemata", f"L3:{cache}=7\n")
    return host.placed


def quick(text: str) -> str:
    """A file of Prometheus or Alertmanager in which what takes seconds or minutes takes one second; ranges stay."""
    return re.sub(r"\b(for|scrape_interval|evaluation_interval|group_wait|group_interval): \w+", r"\1: 1s", text)


def write_targets(directory: Path, exporters: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run the collection's playbook on an inventory of these hosts; ``directory`` is Prometheus's."""
    hosts = {
        name: dict(zip(("ansible_host", "cachetune_exporter_port"), address.split(":"), strict=True))
        for name, address in exporters.items()
    }
    monitoring = {"hosts": {"localhost": {"ansible_connection": "local"}}}
    inventory = directory / "inventory.json"
    inventory.write_text(json.dumps({"all": {"children": {"prometheus": monitoring, "hypervisors": {"hosts": hosts}}}}))
    given = {"prometheus_become": False, "prometheus_directory": f"{directory}/targets"}
    playbook = ("ansible-playbook", "cachetune.resctrl.prometheus", "-i", inventory, "-e", json.dumps(given))
    environment = settings(directory)
    if shutil.which(playbook[0], path=environment["PATH"]) is None:
        skip_without("ansible-core is missing: make .venv/ansible.stamp")
    return waiting.run(playbook, capture_output=True, text=True, env=environment)


def serve(stack: ExitStack, command: Callable[[str], Sequence[str]], log: Path) -> str:
    """Start a program of Prometheus on a free port; it ends with the stack. Return its address."""
    stderr = stack.enter_context(log.open("wb"))
    for _ in range(5):
        address = f"127.0.0.1:{_free_port()}"
        process = stack.enter_context(subprocess.Popen(command(address), stderr=stderr))
        stack.callback(process.kill)
        waiting.until(lambda process=process, address=address: _is_ready(address) or process.poll(), str(log))
        if process.poll() is None:
            return address
    raise AssertionError(log.read_text())


def _free_port() -> int:
    """A port that nothing listens on now; another program may take it before Prometheus does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _is_ready(address: str) -> bool:
    try:
        return bool(get(f"http://{address}/-/ready")[1])
    except OSError:
        return False
