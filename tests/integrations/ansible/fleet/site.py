"""What an operator has: a directory with requests, the assignment of guests to hosts, and runs of the playbooks."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import yaml

from tests.integrations.ansible.fleet.fleet import Fleet


class Request(NamedTuple):
    """What a guest gets: elements below ``cachetune``, for these vCPUs."""

    guest: str
    caches: str
    vcpus: str = "0-1"


class Recap(msgspec.Struct, frozen=True, kw_only=True):
    """Ansible's last line about a host."""

    ok: int
    changed: int
    unreachable: int
    failed: int
    skipped: int
    rescued: int
    ignored: int


class Run(msgspec.Struct, frozen=True):
    """One run of a playbook, with what was on each host afterwards."""

    code: int
    output: str
    recaps: dict[str, Recap]
    trees: dict[str, dict[str, str]]
    bytes: dict[str, int]


class Site:
    """One operator's directory."""

    def __init__(self, fleet: Fleet, **variables: Any) -> None:
        self._fleet, self._variables = fleet, variables
        self.directory = fleet.stage / "site"
        self.directory.mkdir()

    def assign(self, requests: Mapping[str, Sequence[Request]]) -> None:
        """Write the files that ``cachetune fit --assign --vars`` writes, and those that it read."""
        guests: dict[str, list[dict[str, Any]]] = {}
        for host, wanted in requests.items():
            for guest, caches, vcpus in wanted:
                text = f"<cputune>\n  <cachetune vcpus='{vcpus}'>{caches}</cachetune>\n</cputune>\n"
                (self.directory / f"{guest}.xml").write_text(text)
                options = {"shrink_default": True, "compact": False, "round": None}
                guests.setdefault(host, []).append({"name": guest, "domain": f"{guest}.xml", **options})
        (self.directory / "assignment.yml").write_text(yaml.safe_dump({"cachetune_guests": guests}))

    def play(self, playbook: str | Path, *words: str | Path, **variables: Any) -> Run:
        """Run a playbook of the collection, by its name, or another one, with the assignment, if there is one."""
        given = {"rollout_domains": str(self.directory), "rollout_become": False, **self._variables, **variables}
        options = ["-e", msgspec.json.encode(given).decode()]
        if (assignment := self.directory / "assignment.yml").exists():
            options += ["-e", f"@{assignment}"]
        book = playbook if isinstance(playbook, Path) else f"cachetune.resctrl.{playbook}"
        before = self._fleet.traffic_bytes()
        done = self._fleet.playbook(book, *options, *words)
        after = self._fleet.traffic_bytes()
        return Run(
            done.returncode,
            done.stdout + done.stderr,
            _recaps(done.stdout),
            {name: host.tree() for name, host in self._fleet.hosts.items()},
            {name: after[name] - before[name] for name in before},
        )


def _recaps(output: str) -> dict[str, Recap]:
    found = {}
    for line in output.partition("PLAY RECAP")[2].splitlines():
        name, colon, counts = line.partition(" : ")
        if colon:
            numbers = {key: int(value) for key, value in re.findall(r"([a-z]+)=([0-9]+)", counts)}
            found[name.strip()] = msgspec.convert(numbers, Recap)
    return found
