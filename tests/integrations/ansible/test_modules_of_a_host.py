"""The modules host_info, doctor, fit and policy with the real command on a mounted resctrl, called as on a host."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.guests.qemu import running
from tests.integrations.ansible.calling import Call
from tests.integrations.ansible.playing import CACHETUNE
from tests.sim.fuse.mounted import Mounted, mounted, need_fuse

pytestmark = pytest.mark.slow

On = Callable[..., Mapping[str, Any]]


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounted]:
    """A mounted host that the environment names."""
    need_fuse()
    with mounted(tmp_path / "mount", "--sysfs", tmp_path / "sys", profile="skylake-2s") as made:
        directories = {"RESCTRL": made.root, "SYSFS": tmp_path / "sys", "RUN": tmp_path / "run"}
        for name, directory in (directories | {"GUESTS_D": tmp_path / "guests.d"}).items():
            monkeypatch.setenv(f"CACHETUNE_{name}", str(directory))
        yield made


@pytest.fixture
def on(mount: Mounted, call: Call) -> On:  # noqa: ARG001 - the host that the environment names
    """Call a module with the real command."""
    return partial(call, executable=str(CACHETUNE))


def test_host_info_shows_what_is_free_and_who_has_drifted(on: On, mount: Mounted, tmp_path: Path) -> None:
    name = f"web{uuid4().hex[:8]}"
    request = "<cputune><cachetune><cache id='0' level='3' type='both' size='3' unit='ways'/></cachetune></cputune>"
    with running(tmp_path, name, uuid=str(uuid4())):
        assert on("tuning", guest=name, xml=request, save=True, shrink_default=True)["changed"]
        info = on("host_info", name="node-1")
        assert (info["changed"], info["drifted"], info["closids"]["used"]) == (False, [], 2)
        assert info["host"]["identity"]["hostname"] == "node-1"
        assert (info["caches"][0]["resource"], info["caches"][0]["free_ways"]) == ("L3", 0)
        mount.write(f"cachetune-{name}/schemata", "L3:0=3\n")
        drifted = on("host_info")
        assert (drifted["drifted"], drifted["refused"]) == ([name], [])
        mine = next(guest for guest in drifted["guests"] if guest["name"] == name)
        assert mine["tuning"]["summary"]["groups_changed"] == 1


def test_doctor_fails_at_the_level_of_fail_on(on: On, mount: Mounted, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = on("doctor", checks=["CT621"])
    assert (healthy["worst"], healthy["findings"], healthy["changed"]) == ("ok", [], False)
    monkeypatch.setenv("CACHETUNE_RESCTRL", f"{mount.root}/info")
    failed = on("doctor", checks=["CT621"])
    assert failed["failed"]
    assert "[CT621] (fix: " in failed["msg"]
    assert [each["id"] for each in failed["findings"]] == ["CT621"]
    assert "failed" not in on("doctor", checks=["CT621"], fail_on="never")
    assert "failed" not in on("doctor", checks=["CT621"], ignore=["CT621"])
    assert "no such check" in on("doctor", checks=["--fix"])["msg"]


def test_fit_names_the_guest_that_does_not_fit_with_the_others_and_changes_nothing(on: On, mount: Mounted) -> None:
    def guest(name: str, ways: int, **options: object) -> dict[str, object]:
        cache = f"<cache id='0' level='3' type='both' size='{ways}' unit='ways'/>"
        return {"name": name, "xml": f"<cputune><cachetune vcpus='0'>{cache}</cachetune></cputune>", **options}

    before = mount.read("schemata")
    web = guest("web", 6, shrink_default=True)
    both = on("fit", guests=[web, guest("db", 3)])
    assert ("failed" in both, [each["answer"] for each in both["fits"]]) == (False, ["fits", "fits"])
    refused = on("fit", guests=[web, guest("db", 6)])
    assert refused["failed"]
    assert refused["msg"].startswith("db does not fit with the guests before it: no room for 6 ways")
    assert "[CT207]" in refused["msg"]
    assert "web does not fit: " in on("fit", guests=[guest("web", 6)])["msg"]
    assert "(it would with --shrink-default)" in on("fit", guests=[guest("web", 6)])["msg"]
    assert "no file can have this name" in on("fit", guests=[guest("../web", 1)])["msg"]
    assert "is in 'guests' twice" in on("fit", guests=[web, web])["msg"]
    assert "web.xml:1:10: not well-formed XML" in on("fit", guests=[{"name": "web", "xml": "<cputune>"}])["msg"]
    assert mount.read("schemata") == before


def test_fit_keeps_the_policy_of_the_host(on: On, tmp_path: Path) -> None:
    policy = tmp_path / "host.toml"
    policy.write_text('[default.L3]\nleast = "8ways"\n')
    cache = "<cache id='0' level='3' type='both' size='6' unit='ways'/>"
    xml = f"<cputune><cachetune vcpus='0'>{cache}</cachetune></cputune>"
    guests = [{"name": "web", "xml": xml, "shrink_default": True}]
    assert "failed" not in on("fit", guests=guests)
    assert "web does not fit" in on("fit", guests=guests, policy=str(policy))["msg"]


def bandwidth(mount: Mounted) -> str:
    return next(line.strip() for line in mount.read("schemata").splitlines() if "MB:" in line)


def test_a_policy_is_checked_written_and_applied(on: On, mount: Mounted, tmp_path: Path) -> None:
    file = tmp_path / "etc/host.toml"
    wanted = {"default": {"L3": {"least": {"0": "3ways", "others": "25%"}}, "MB": {"value": "50%"}}}
    wanted |= {"reserved": {"L3": {"1": "0-1"}}}

    def policy(**parameters: Any) -> Mapping[str, Any]:
        return on("policy", path=str(file), **parameters)

    checked = policy(policy=wanted, check_mode=True)
    assert (checked["changed"], file.exists(), bandwidth(mount)) == (True, False, "MB:0=100;1=100")
    made = policy(policy=wanted)
    assert (made["diff"], made["report"]["outcome"]) == (checked["diff"], "done")
    assert bandwidth(mount).replace(" ", "") == "MB:0=50;1=50"
    assert tomllib.loads(file.read_text()) == wanted
    assert not policy(policy=wanted)["changed"]

    text = file.read_text()
    for refused in (policy(policy={"default": {"L3": {"leest": "3ways"}}}), policy(content="[default.L3\n")):
        assert f"{file} is not valid" in refused["msg"]
        assert file.read_text() == text
    only_plans = policy(content='[default.MB]\nleast = "30%"\n', default_group=False, backup=True)
    assert (only_plans["changed"], Path(only_plans["backup_file"]).read_text()) == (True, text)
    assert bandwidth(mount).replace(" ", "") == "MB:0=50;1=50"

    removed = policy(state="absent")
    assert (removed["changed"], file.exists(), bandwidth(mount)) == (True, False, "MB:0=100;1=100")
    assert not policy(state="absent")["changed"]
