"""The agent as a process on a mounted resctrl, with a real QEMU: how it reacts to operators and guests.

Most tests trigger each round with SIGHUP, so that they know when it is done; those about the period set one.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.agent import qemu
from tests.agent.live import DYING, TUNING, Scene
from tests.missing import skip_without
from tests.sim.fuse.mounted import mounted, need_fuse, run

pytestmark = pytest.mark.slow

# The agent finds all guests of this machine, also those of other tests, so the name must be unique.
WEB = f"agent-test-{os.getpid()}"
UNNAMED = "its threads do not have vCPU names"  # observed if QEMU is slow to start
GROUP = f"cachetune-{WEB}-vcpus_0-3"
KINDS = ("threads_emulator", "threads_iothreads_1-9")
FULL = "L3:0=7ff;1=7ff"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    need_fuse()
    if why := qemu.missing():
        skip_without(why)
    with mounted(tmp_path / "sim", profile="skylake-2s") as mount:
        yield Scene(tmp_path, mount)


def test_a_guest_is_kept_from_its_start_to_its_end_within_a_period(scene: Scene) -> None:
    scene.tune(WEB)
    with scene.agent("--period", "0.2") as agent:
        agent.ready()
        assert scene.state(WEB) == "waiting"
        with qemu.running(WEB) as guest:
            agent.until(lambda: scene.state(WEB) == "placed")
            assert scene.threads(GROUP) == set(guest.vcpu_tids())
            plugged = guest.plug()
            agent.until(lambda: plugged in scene.threads(GROUP))
            assert scene.threads(GROUP) == set(guest.vcpu_tids())
            assert guest.pid not in scene.threads(GROUP)
            guest.end()
            agent.until(lambda: not scene.groups())
        assert scene.state(WEB) == "waiting"
        assert FULL in scene.mount.read("schemata")
        said = [line for line in agent.end() if UNNAMED not in line]
    assert said == [
        f"info: {WEB}: waiting: not running",
        f"notice: {WEB}: 1 group created, 2 groups written, 2 threads moved",
        f"notice: {WEB}: 1 thread moved",
        f"notice: {WEB}: 1 group written, 1 group removed: not running",
    ]


def test_iothreads_and_emulator_threads_are_kept_in_groups_apart_from_the_vcpus(scene: Scene) -> None:
    cache = "<cache id='0' level='3' type='both' size='2304' unit='KiB'/>"
    tunes = (f"<cachetune {who}>{cache}</cachetune>" for who in ("threads='emulator'", "threads='iothreads:1-9'"))
    vcpus, emulator, iothreads = (f"cachetune-{WEB}-{end}" for end in ("vcpus_0-3", *KINDS))
    scene.write(WEB, f"<cputune><cachetune vcpus='0-3'>{cache}</cachetune>{''.join(tunes)}</cputune>")
    with qemu.running(WEB) as guest, scene.agent() as agent:
        first = guest.add_iothread("iothread1")
        agent.ready()
        agent.look()
        rest = guest.tids() - {first, *guest.vcpu_tids()}
        assert guest.pid in rest
        assert (scene.threads(vcpus), scene.threads(iothreads)) == (set(guest.vcpu_tids()), {first})
        assert scene.threads(emulator) == rest, "also QEMU's own iothread, that of its monitor"
        second = guest.add_iothread("iothread2")
        assert second in scene.threads(emulator), "it starts in the group of the thread that added it"
        agent.look()
        assert scene.threads(iothreads) == {first, second}
        assert second not in scene.threads(emulator)
        assert scene.state(WEB) == "placed"
        agent.end()


def test_an_edited_file_is_applied_and_an_invalid_one_is_not(scene: Scene) -> None:
    scene.tune(WEB, ways=3)
    with qemu.running(WEB) as guest, scene.agent() as agent:
        agent.ready()
        scene.tune(WEB, ways=2)
        agent.look()
        assert "L3:0=003" in scene.mount.read(f"{GROUP}/schemata")
        scene.write(WEB, "<cputune><cachetune vcpus='0'><cache/></cachetune></cputune>")
        agent.look()
        agent.look()
        assert "L3:0=003" in scene.mount.read(f"{GROUP}/schemata")
        assert scene.state(WEB) == "failed"
        assert scene.threads(GROUP) == set(guest.vcpu_tids())
        scene.tune(WEB, vcpus="0", ways=1)
        agent.look()
        assert scene.groups() == {f"cachetune-{WEB}-vcpus_0"}
        (scene.guests_d / f"{WEB}.xml").unlink()
        agent.until(lambda: not scene.groups())
        said = agent.end()
    place = f"{scene.guests_d}/{WEB}.xml:1:31"
    assert [line for line in said if ": failed: " in line] == [
        f"warning: {WEB}: failed: {place}: <cache> is missing the required attribute 'id' [CT004] (and 3 more)"
    ]
    assert FULL in scene.mount.read("schemata")


def _shown(scene: Scene) -> str:
    """What ``guests`` shows of the guest, and the lines below the table about it and about the options."""
    page = run("guests", *scene.where).stdout
    row = next(line for line in page.splitlines() if line.startswith(f"{WEB} ")).split("threads", 1)[1].strip()
    return "\n".join([row, *(line for line in page.splitlines() if line.startswith((f"{WEB}: ", "Planned")))])


def test_guests_says_what_the_agent_would_do(scene: Scene) -> None:
    scene.tune(WEB)
    with scene.agent() as agent:
        agent.ready()
        with qemu.running(WEB) as guest:
            guest.vcpu_tids()
            assert _shown(scene) == (
                "drifted: 1 group to create, 1 group to change, 2 tasks to move\n"
                "Planned as the agent plans: --shrink-default"
            )
            drift = run("diff", "--all-guests", "--json", *scene.where)
            assert json.loads(drift.stdout)["agent_options"] == ["--shrink-default"]
            agent.end()
            assert agent.watching.endswith(", every 3600 s, with --shrink-default")
            without_agent = _shown(scene)
    assert without_agent.startswith(f"refused\n{WEB}: ")
    assert "--shrink-default" in without_agent
    assert "Planned" not in without_agent


def test_log_status_and_guests_agree_on_a_file_that_was_refused_and_then_became_invalid(scene: Scene) -> None:
    scene.tune(WEB, ways=11)
    with scene.agent() as agent, qemu.running(WEB):
        agent.ready()
        agent.look()
        assert "25344 KiB" in run("agent", "status", "--json", "--run", scene.run).stdout
        assert _shown(scene).startswith("refused\n")
        scene.write(WEB, TUNING.format(vcpus="0-3", kib=6912).replace("level", "levl"))
        agent.look()
        status = run("agent", "status", "--json", "--run", scene.run).stdout
        assert "'levl'" in status, status
        page = _shown(scene)
        assert page.startswith("invalid\n")
        assert "'levl'" in page
        said = [line for line in agent.end() if UNNAMED not in line and "not running" not in line]
    assert [line.split(": ")[0] for line in said] == ["warning", "warning"]
    assert "25344 KiB" in said[0]
    assert "'levl'" in said[1]


def test_a_mode_that_another_program_changes_is_set_again(scene: Scene) -> None:
    caches = "".join(f"<cache id='{i}' level='3' type='both' size='2304' unit='KiB'/>" for i in (0, 1))
    scene.write(WEB, f"<cputune><cachetune vcpus='0-3' mode='exclusive'>{caches}</cachetune></cputune>")
    with qemu.running(WEB), scene.agent() as agent:
        agent.ready()
        assert scene.mount.read(f"{GROUP}/mode") == "exclusive\n"
        scene.mount.write(f"{GROUP}/mode", "shareable\n")
        agent.look()
        assert scene.mount.read(f"{GROUP}/mode") == "exclusive\n"
        scene.tune(WEB, ways=1)
        agent.look()
        assert scene.mount.read(f"{GROUP}/mode") == "shareable\n"
        agent.end()


def test_a_restarted_guest_is_placed_again(scene: Scene) -> None:
    scene.tune(WEB)
    with scene.agent() as agent:
        agent.ready()
        for _ in range(2):
            with qemu.running(WEB) as guest:
                agent.look()
                assert scene.threads(GROUP) == set(guest.vcpu_tids())
                assert scene.status()["guests"][0]["pid"] == guest.pid
        agent.end()


def test_an_agent_that_stops_leaves_the_groups_for_the_next_one(scene: Scene) -> None:
    scene.tune(WEB)
    with qemu.running(WEB):
        with scene.agent() as agent:
            agent.ready().end()
        tree = {path: scene.mount.read(f"{path}/schemata") for path in scene.groups()}
        assert set(tree) == {GROUP}
        asked = run("agent", "status", "--run", scene.run)
        assert (asked.returncode, WEB in asked.stdout) == (2, True)
        assert "no agent is running" in asked.stderr
        with scene.agent() as agent:
            agent.ready()
            shown = run("agent", "status", "--run", scene.run)
            assert (shown.returncode, "placed" in shown.stdout) == (0, True)
            assert agent.end() == []
        assert {path: scene.mount.read(f"{path}/schemata") for path in scene.groups()} == tree


@pytest.mark.parametrize("step", range(1, 5))
def test_an_agent_that_is_killed_while_it_places_a_guest_recovers_first(scene: Scene, step: int) -> None:
    scene.tune(WEB)
    with qemu.running(WEB) as guest:
        with scene.agent(command=DYING, DIE_BEFORE=str(step)) as dying:
            dying.ended(-signal.SIGKILL)
        assert (scene.run / "journal.jsonl").exists()
        with scene.agent() as agent:
            agent.ready()
            assert scene.threads(GROUP) == set(guest.vcpu_tids())
            first, second = agent.end()
    assert first.startswith(f"warning: recovered from an interrupted run for cachetune-{WEB}: ")
    assert second.startswith(f"notice: {WEB}: 1 group created")


def test_a_second_agent_is_refused_with_the_pid_of_the_first(scene: Scene) -> None:
    with scene.agent() as agent:
        agent.ready()
        second = scene.once()
        assert second.returncode == 2
        assert f"process {agent.process.pid}" in second.stderr


def test_the_exit_code_of_once_reports_failures(scene: Scene) -> None:
    assert scene.once().returncode == 0
    scene.tune(WEB)
    with qemu.running(WEB) as guest:
        placed = scene.once()
        assert placed.returncode == 0, placed.stderr
        assert scene.threads(GROUP) == set(guest.vcpu_tids()), placed.stderr
        scene.tune(WEB, ways=12)
        too_much = scene.once()
        assert too_much.returncode == 1
        assert f"warning: {WEB}: failed: " in too_much.stderr
        assert scene.threads(GROUP) == set(guest.vcpu_tids())
        (scene.guests_d / f"{WEB}.xml").unlink()
        assert scene.once().returncode == 0
        assert scene.groups() == set()


def test_the_status_that_once_leaves_can_be_read_and_has_its_exit_code(scene: Scene) -> None:
    scene.once()
    clean = run("agent", "status", "--run", scene.run)
    assert (clean.returncode, clean.stderr) == (0, "")
    assert clean.stdout.startswith("No managed guests.\nLeft by agent --once at ")
    scene.tune(WEB, ways=12)
    with qemu.running(WEB):
        scene.once()
    failed = run("agent", "status", "--json", "--run", scene.run)
    document = json.loads(failed.stdout)
    assert (failed.returncode, document["running"], document["once"]) == (1, False, True)
    assert document["guests"][0]["state"] == "failed"


def test_the_status_in_json_shows_whether_the_agent_was_killed(scene: Scene) -> None:
    with scene.agent() as agent:
        agent.ready()
        living = json.loads(run("agent", "status", "--json", "--run", scene.run).stdout)
        assert (living["pid"], living["running"]) == (agent.process.pid, True)
        agent.process.kill()
        agent.ended(-signal.SIGKILL)
    killed = run("agent", "status", "--json", "--run", scene.run)
    assert (killed.returncode, json.loads(killed.stdout)["running"]) == (2, False)
    assert scene.status()["running"] is True, "a killed agent cannot update it"


def unmount(scene: Scene) -> None:
    """Unmount the simulated resctrl. It is busy while the agent reads it, so this can take several attempts."""
    for _ in range(50):
        unmounted = run("sim", "unmount", scene.mount.root, "--run", scene.mount.run_directory)
        if "busy" not in unmounted.stderr:
            break
    assert unmounted.returncode == 0, unmounted.stderr


def test_resctrl_can_be_unmounted_and_mounted_again_under_the_agent(scene: Scene) -> None:
    scene.tune(WEB)
    with qemu.running(WEB) as guest, scene.agent() as agent:
        agent.ready()
        unmount(scene)
        agent.look()
        assert scene.status()["problem"]
        asked = run("agent", "status", "--run", scene.run)
        assert asked.returncode == 1
        where = (scene.mount.root, "--run", scene.mount.run_directory)
        run("sim", "mount", *where, "--profile", "skylake-2s", "--background")
        agent.look()
        assert scene.threads(GROUP) == set(guest.vcpu_tids())
        assert scene.status()["problem"] == ""
        agent.end()


def test_systemd_is_notified_of_start_watchdog_and_stop(scene: Scene) -> None:
    with scene.agent(WATCHDOG_USEC="200000") as agent:
        agent.ready()
        for _ in range(3):
            agent.hear("WATCHDOG")
        agent.look()
        agent.end()
        assert {"STATUS": "no managed guests", "WATCHDOG": "1"} in agent.messages


def test_the_agent_continues_when_stderr_is_closed(scene: Scene) -> None:
    reading, writing = os.pipe()
    with scene.agent(stderr=writing) as agent:
        os.close(writing)
        os.close(reading)
        scene.tune(WEB)
        agent.ready()
        agent.look()
        assert scene.state(WEB) == "waiting"
        agent.end()


def test_lines_for_the_journal_start_with_their_priority(scene: Scene) -> None:
    scene.write(WEB, "<cputune")
    reading, writing = os.pipe()
    place = os.fstat(writing)
    stream = f"{place.st_dev}:{place.st_ino}"
    with scene.agent(stderr=writing, JOURNAL_STREAM=stream) as agent:
        os.close(writing)
        agent.ready().end()
    with os.fdopen(reading) as said:
        assert said.readline().startswith("<6>watching ")
        assert said.readline().startswith(f"<4>{WEB}: failed: ")
