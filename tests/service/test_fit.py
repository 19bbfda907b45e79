"""fit over many snapshots: the same answers in one process and in several; a broken file does not affect the others."""

import json
import os
import time
from pathlib import Path
from random import Random

import pytest
from msgspec.structs import replace

from cachetune import documents
from cachetune.fleet.fit import fit
from cachetune.fleet.model import Candidate
from cachetune.fleet.ranking import ranked
from cachetune.host.model import Host
from cachetune.plan.request import Options
from cachetune.service.fit import MANY, fit_guests
from tests.fleet.domains import caches, guest, guest_xml
from tests.fleet.random_fleet import TAKEN, random_fleet
from tests.fuzz.mutation import encoded, mutated


def saved(directory: Path, hosts: list[Host]) -> str:
    directory.mkdir(exist_ok=True)
    for host in hosts:
        assert host.identity
        (directory / f"{host.identity.hostname}.json").write_bytes(documents.encode(host))
    return str(directory)


def guests(directory: Path, **tunings: str) -> list[str]:
    for name, tuning in tunings.items():
        (directory / f"{name}.xml").write_text(guest_xml(name, tuning))
    return [str(directory / f"{name}.xml") for name in tunings]


def test_many_hosts_in_several_processes_answer_as_each_does_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hosts = list(random_fleet(MANY, seed=3))
    files = guests(tmp_path, web=caches("0=2ways"), db=caches("0=30%", vcpus="1"))
    directory = saved(tmp_path / "hosts", hosts)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    entered: list[int] = []
    found = fit_guests([*files, directory], Options(), progress=lambda total: Progress(entered, total))
    assert entered == [MANY]
    for answered, tuning in zip(found.guests, (caches("0=2ways"), caches("0=30%", vcpus="1")), strict=True):
        domain = guest(answered.guest, tuning)
        alone = ranked(
            fit(domain, Candidate(host.identity.hostname, host), Options()) for host in hosts if host.identity
        )
        assert [(f.host, f.answer, f.caches) for f in answered.hosts] == [(f.host, f.answer, f.caches) for f in alone]


class Progress:
    """Notes that it was entered."""

    def __init__(self, entered: list[int], total: int) -> None:
        entered.append(total)

    def __enter__(self):  # type: ignore[no-untyped-def]
        return lambda _: None

    def __exit__(self, *_: object) -> None:
        pass


def test_a_broken_snapshot_among_many_is_named_and_the_others_answer(tmp_path: Path) -> None:
    directory = saved(tmp_path / "hosts", list(random_fleet(MANY, seed=4)))
    for i, content in enumerate((b"", b"{", b"\xff\xfe{", b'{"groups": []}', b"[" * 100_000)):
        (Path(directory) / f"broken-{i}.json").write_bytes(content)
    found = fit_guests([*guests(tmp_path, web=caches("0=2ways")), directory], Options())
    assert len(found.guests[0].hosts) == len(found.hosts) == MANY
    assert [Path(each.file).name for each in found.unusable] == [f"broken-{i}.json" for i in range(5)]
    assert found.exit_code == 2


def test_age_is_that_in_the_snapshot_and_not_of_the_file(tmp_path: Path) -> None:
    (host,) = random_fleet(1)
    assert host.identity
    now = time.time()
    ages = {"new": 60.0, "old": 90_000.0, "tomorrow": -90_000.0}
    hosts = [replace(host, identity=replace(host.identity, hostname=n, taken=now - age)) for n, age in ages.items()]
    nameless = tmp_path / "nameless.json"
    nameless.write_bytes(documents.encode(replace(host, identity=None)))
    files = [*guests(tmp_path, web=caches("0=2ways")), saved(tmp_path / "hosts", hosts), str(nameless)]
    found = {each.host: each for each in fit_guests(files, Options()).hosts}
    assert {name for name, each in found.items() if each.stale} == {"old"}
    assert found["nameless"].age_seconds is None
    assert found["tomorrow"].age_seconds == 0
    assert {each.host for each in fit_guests(files, Options(), stale_seconds=30).hosts if each.stale} == {"new", "old"}


def test_the_newest_snapshot_of_a_host_answers_and_names_the_older(tmp_path: Path) -> None:
    first, second = random_fleet(2, seed=5, profiles=["skylake-2s"])
    assert first.identity
    assert second.identity
    newer = replace(second, identity=replace(first.identity, taken=TAKEN + 5))
    for name, host in (("a.json", first), ("b.json", newer)):
        (tmp_path / name).write_bytes(documents.encode(host))
    files = [*guests(tmp_path, web=caches("0=2ways")), str(tmp_path / "a.json"), str(tmp_path / "b.json")]
    found = fit_guests(files, Options())
    (host,) = found.hosts
    assert (host.host, host.file, host.older) == ("node-0", files[2], (files[1],))
    expected = fit(guest("web", caches("0=2ways")), Candidate("node-0", newer), Options())
    assert found.guests[0].hosts[0].caches == expected.caches


def test_a_snapshot_with_changes_of_any_kind_has_an_answer_or_is_unusable(tmp_path: Path) -> None:
    draw = Random(29)  # noqa: S311 - not for secrets
    directory = tmp_path / "hosts"
    directory.mkdir()
    for number, host in enumerate(random_fleet(90, seed=6)):
        document = mutated(json.loads(documents.encode(host)), draw)
        (directory / f"{number}.json").write_bytes(encoded(document))
    files = guests(tmp_path, web=caches("0=2ways"), db=caches("0=5MiB", vcpus="0"))
    found = fit_guests([*files, str(directory)], Options(shrink_default=True, compact=True))
    older = sum(len(each.older) for each in found.hosts)
    assert len(found.hosts) + older + len(found.unusable) == 90
    assert found.hosts
    assert found.unusable


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["web.xml", "sim:milan", "sim:monitor-only"], 0),
        (["web.xml", "huge.xml", "sim:milan"], 1),
        (["web.xml", "sim:monitor-only"], 1),
        (["web.xml", "huge.xml", "sim:milan", "no-such-file"], 2),
        (["web.xml", "sim:milan", "sim:no-such-host"], 2),
        (["web.xml"], 2),
        (["sim:milan"], 2),
    ],
)
def test_the_exit_code_is_the_highest_of_the_reasons(tmp_path: Path, names: list[str], code: int) -> None:
    guests(tmp_path, web=caches("0=2ways"), huge=caches("0=15ways", "1=99ways"))
    paths = [name if name.startswith("sim:") else str(tmp_path / name) for name in names]
    assert fit_guests(paths, Options(shrink_default=True)).exit_code == code
