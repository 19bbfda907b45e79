"""One host for all tests of this directory: a mount with guests, an exporter, and a real Prometheus that scrapes it."""

import json
import os
import re
import shutil
import socket
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests import waiting
from tests.agent.live import Scene
from tests.exporter.scrape import get
from tests.guests.qemu import need_qemu, running
from tests.missing import skip_without
from tests.sim.fuse.mounted import CACHETUNE, ROOT, mounted, need_fuse

MOST_SCRAPES = 40  # what is not there by then never will be
RULES = ROOT / "examples" / "prometheus" / "cachetune.rules.yml"
CONFIG = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: cachetune
    static_configs: [{{targets: ['{target}']}}]
"""
TUNING = """<cputune>
  <cachetune vcpus='0-1'>
    <cache id='0' level='3' type='both' size='{kib}' unit='KiB'/>
    <monitor level='3' vcpus='0'/>
  </cachetune>
  <memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>
</cputune>
"""


def need(program: str) -> str:
    """The path of a program of Debian's package prometheus. Skips without it; fails in CI."""
    found = shutil.which(program)
    if found is None:
        skip_without(f"{program} is missing (Debian package prometheus)")
    return found


class Watched(msgspec.Struct, frozen=True):
    """A host with three guests.

    ``placed`` has what it requests, the request of ``drifted`` has changed since, and ``refused`` requests all ways but
    one.
    """

    scene: Scene
    placed: str
    drifted: str
    refused: str

    @contextmanager
    def exporter(self, *options: str | Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
        """An exporter of this host in a process; it ends with the block."""
        where = [word for word in self.scene.source_options if word != "--shrink-default"]
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
    """A real Prometheus at ``address``."""

    address: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query."""
        return list(self._get("query", query=expression)["result"])

    def rules(self) -> list[dict[str, Any]]:
        """All rules with their health."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def until(self, expression: str) -> list[dict[str, Any]]:
        """The series of a query, as soon as there are any. Fails without any after ``MOST_SCRAPES`` more.

        On a loaded machine a scrape can take longer than the second between two, and then there is nothing for a while.
        """
        last, found = self.scrapes() + MOST_SCRAPES, list[dict[str, Any]]()

        def is_over() -> bool:
            found[:] = self.query(expression)
            return bool(found) or self.scrapes() > last

        waiting.until(is_over, expression, self.scrapes)
        assert found, f"no series after {MOST_SCRAPES} scrapes: {expression}"
        return found

    def scrapes(self) -> int:
        """How often it has scraped the exporter, or tried."""
        return sum(int(row["value"][1]) for row in self.query("count_over_time(up[1h])"))

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = json.loads(get(f"http://{self.address}/api/v1/{what}", data=urlencode(parameters).encode() or None)[1])
        assert answer["status"] == "success", answer
        return dict(answer["data"])


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The host, with real QEMUs."""
    need_fuse()
    need_qemu()
    directory = tmp_path_factory.mktemp("watched")
    placed, drifted, refused = (f"{name}{uuid.uuid4().hex[:8]}" for name in ("web", "db", "big"))
    with ExitStack() as stack:
        scene = Scene(directory, stack.enter_context(mounted(directory / "mount", profile="skylake-2s")))
        for name in (placed, drifted, refused):
            (directory / name).mkdir()
            stack.enter_context(running(directory / name, name, uuid=str(uuid.uuid4())))
        for name in (placed, drifted):
            scene.write(name, TUNING.format(kib=2 * 2304))
        done = scene.once()
        assert done.returncode == 0, done.stderr
        scene.write(drifted, TUNING.format(kib=2304))
        scene.write(refused, TUNING.format(kib=10 * 2304))
        yield Watched(scene, placed, drifted, refused)


@pytest.fixture(scope="session")
def exporter(watched: Watched) -> Iterator[str]:
    """The address of an exporter of the host."""
    with watched.exporter("--listen", "127.0.0.1:0", "--interval", "0.5") as process:
        yield address_of(process)


@pytest.fixture(scope="session")
def prometheus(exporter: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the exporter more than once."""
    program, directory = need("prometheus"), tmp_path_factory.mktemp("prometheus")
    (directory / "prometheus.yml").write_text(CONFIG.format(rules=RULES, target=exporter))
    where = (f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data")
    with ExitStack() as stack:
        stderr = stack.enter_context((directory / "log").open("wb"))
        for _ in range(5):
            address = f"127.0.0.1:{_free_port()}"
            words = [program, *where, f"--web.listen-address={address}"]
            process = stack.enter_context(subprocess.Popen(words, stderr=stderr))
            stack.callback(process.kill)
            waiting.until(lambda process=process, address=address: _is_ready(address) or process.poll(), "Prometheus")
            if process.poll() is None:
                break
        found = Prometheus(address)
        found.until("count_over_time(cachetune_readings_total[1m]) > 2")
        yield found


def _free_port() -> int:
    """A port that nothing listens on now; another program may take it before Prometheus does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _is_ready(address: str) -> bool:
    try:
        return "ready" in get(f"http://{address}/-/ready")[1].lower()
    except OSError:
        return False
