"""guests.d is the truth for every verb: FILE, then the tuning file, then live XML; drift of a whole host; --save."""

import json
import stat
from pathlib import Path

import pytest

from cachetune import documents
from cachetune.domain import SCHEMA
from cachetune.service.drift import Drift
from tests.cli.commands.test_running_guests import DB, QUIET, WEB, Host, guest, host, tuning

__all__ = ["host"]
pytestmark = pytest.mark.slow

GROUP = f"cachetune-{WEB}-vcpus_0-1"


def stored(host: Host, name: str, text: str) -> Path:
    host.guests_d.mkdir(exist_ok=True)
    path = host.guests_d / f"{name}.xml"
    path.write_text(text)
    return path


def ways(host: Host, group: str = GROUP) -> int:
    """How many ways of L3 cache 0 the group has."""
    return int(host.mount.read(f"{group}/schemata").split("L3:0=")[1].partition(";")[0], 16).bit_count()


def drift_of(host: Host, *options: str) -> tuple[int, dict[str, tuple[str, str | None]]]:
    """The exit code of diff --all-guests; the state of each guest of this test and where its request is from."""
    answer = host.cachetune("diff", "--all-guests", "--json", *options)
    found = documents.decode(answer.stdout.encode(), Drift, "drift")
    states = {each.name: (each.tuning.state, each.tuning.requested_by) for each in found.guests}
    return answer.returncode, {name: states[name] for name in (WEB, DB, QUIET) if name in states}


def test_the_order_is_the_file_that_is_named_then_guests_d_then_live_xml(host: Host) -> None:
    with guest(WEB) as web, guest(DB) as db:
        host.started_by_libvirt(DB, db, tuning(2), 2)
        assert web.vcpus
        stored(host, WEB, tuning(3))
        for verb in ("plan", "diff"):
            shown = host.cachetune(verb, "--guest", WEB, "--shrink-default")
            assert (shown.returncode, "6.75 MiB" in shown.stdout) == (int(verb == "diff"), True)
        assert host.cachetune("apply", "--yes", "--guest", WEB, "--shrink-default").returncode == 0
        assert ways(host) == 3
        assert host.cachetune("diff", "--guest", WEB).returncode == 0
        named = host.file("named.xml", tuning(4))
        assert "9 MiB" in host.cachetune("plan", "--guest", WEB, named, "--shrink-default").stdout
        assert host.cachetune("apply", "--yes", "--all-guests", "--shrink-default").returncode == 0
        assert (ways(host), ways(host, f"qemu-2-{DB}-vcpus_0-1")) == (3, 2)
        listed = json.loads(host.cachetune("guests", "--json").stdout)["guests"]
        state = {each["name"]: (each["tuning"]["state"], each["tuning"]["asker"]) for each in listed}
        assert (state[WEB], state[DB]) == (("applied", "file"), ("applied", "libvirt"))


def test_diff_of_all_guests_has_a_line_for_each_and_the_worst_exit_code(host: Host) -> None:
    with guest(WEB), guest(DB) as db, guest(QUIET) as quiet:
        host.started_by_libvirt(QUIET, quiet, "", 3)
        nothing = {WEB: ("unknown", None), DB: ("unknown", None), QUIET: ("none", "libvirt")}
        assert drift_of(host) == (0, nothing)
        path = stored(host, WEB, tuning(2))
        assert drift_of(host, "--shrink-default") == (1, nothing | {WEB: ("drifted", "file")})
        assert host.cachetune("apply", "--yes", "--all-guests", "--shrink-default").returncode == 0
        assert drift_of(host) == (0, nothing | {WEB: ("applied", "file")})
        host.started_by_libvirt(DB, db, tuning(11), 2)
        assert drift_of(host) == (2, nothing | {WEB: ("applied", "file"), DB: ("refused", "libvirt")})
        page = host.cachetune("diff", "--all-guests").stdout
        lines = {line.split()[0]: " ".join(line.split()[1:]) for line in page.splitlines() if line}
        assert (lines[WEB], lines[DB], lines[QUIET]) == (f"{path} applied", "libvirt refused", "- none")
        assert f"{DB}: " in page
        path.write_text("<cputune><cachetune vcpus='x'/></cputune>")
        assert drift_of(host)[1][WEB] == ("invalid", "file")


def test_a_tuning_file_and_live_xml_that_both_request_tuning_are_refused_by_every_verb(host: Host) -> None:
    with guest(WEB) as threads:
        host.started_by_libvirt(WEB, threads, tuning(2))
        file = stored(host, WEB, tuning(3))
        for verb in ("plan", "diff", "apply"):
            for which in (("--guest", WEB), ("--all-guests",)):
                answer = host.cachetune(verb, *which, "--shrink-default")
                assert answer.returncode == 2
                assert "both its tuning file and its live XML request tuning" in answer.stdout + answer.stderr
        unsaved = host.cachetune("apply", "--yes", "--save", "--guest", WEB, file, "--shrink-default")
        assert (unsaved.returncode, "cannot be saved: both its" in unsaved.stderr) == (2, True)
        assert host.cachetune("plan", "--guest", WEB, file, "--shrink-default").returncode == 0, "FILE comes first"


def test_save_makes_the_file_the_truth_only_after_the_change(host: Host) -> None:
    domain = f"<domain><name>{WEB}</name><vcpu>2</vcpu>{tuning(2)}</domain>"
    file, saved = host.file("guest.xml", domain), host.guests_d / f"{WEB}.xml"
    with guest(WEB):
        apply = ("apply", "--save", "--guest", WEB, file)
        full = host.cachetune(*apply, "--yes")  # the default group has all ways
        assert (full.returncode, "[CT207]" in full.stderr, host.guests_d.exists()) == (2, True, False)
        assert host.cachetune(*apply, "--dry-run", "--shrink-default").returncode == 0
        asked = host.cachetune(*apply, "--shrink-default")
        assert ("no terminal" in asked.stderr, host.guests_d.exists()) == (True, False)

        done = host.cachetune(*apply, "--yes", "--shrink-default")
        assert (done.returncode, f"Saved {saved}.\n" in done.stderr) == (0, True)
        assert stat.S_IMODE(saved.stat().st_mode) == 0o644
        assert [path.name for path in host.guests_d.iterdir()] == [saved.name]
        assert saved.read_text().splitlines()[1:3] == ["<cputune>", "  <cachetune vcpus='0-1'>"]
        assert saved.read_text().startswith(f'<?xml-model href="{SCHEMA}" ')
        assert host.cachetune("diff", "--guest", WEB).returncode == 0
        assert drift_of(host)[1][WEB] == ("applied", "file")

        more = host.file("more.xml", tuning(3))
        again = host.cachetune("apply", "--yes", "--json", "--save", "--guest", WEB, more, "--shrink-default")
        assert (again.returncode, json.loads(again.stdout)["outcome"], ways(host)) == (0, "done", 3)
        assert drift_of(host) == (0, {WEB: ("applied", "file")})


def test_what_is_saved_is_exclusive_if_the_option_says_so(host: Host) -> None:
    caches = "".join(f"<cache id='{i}' level='3' type='both' size='1' unit='ways'/>" for i in (0, 1))
    file = host.file("both.xml", f"<cputune><cachetune vcpus='0-1'>{caches}</cachetune></cputune>")
    with guest(WEB):
        words = ("--yes", "--save", "--exclusive", "--shrink-default")
        done = host.cachetune("apply", *words, "--guest", WEB, file)
        assert done.returncode == 0, done.stderr
        assert host.mount.read(f"{GROUP}/mode") == "exclusive\n"
        assert host.cachetune("diff", "--guest", WEB).returncode == 0
        assert "mode='exclusive'" in (host.guests_d / f"{WEB}.xml").read_text()


def test_what_is_rounded_is_saved_as_it_was_written_with_a_warning_about_the_agent(host: Host) -> None:
    size = "<cache id='0' level='3' type='both' size='7000' unit='KiB'/>"
    file = host.file("odd.xml", f"<cputune><cachetune vcpus='0-1'>{size}</cachetune></cputune>")
    warning = "--round up changes it: give the agent and the hook this option as well"
    with guest(WEB):
        words = ("--yes", "--save", "--shrink-default", "--guest", WEB)
        done = host.cachetune("apply", *words, "--round", "up", file)
        assert (done.returncode, warning in done.stderr, ways(host)) == (0, True, 4), done.stderr
        assert "size='7000' unit='KiB'" in (host.guests_d / f"{WEB}.xml").read_text()
        whole = host.cachetune("apply", *words, "--round", "up", host.file("whole.xml", tuning(2)))
        assert (whole.returncode, "warning" in whole.stderr) == (0, False), whole.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--guest", WEB), "--save needs FILE"),
        (("--all-guests",), "--save needs FILE"),
        (("--guest", WEB, "--machine-name", "x", "FILE"), "--save and --machine-name exclude each other"),
        (("PLAN",), "a saved plan already names its guests and options"),
        (("NAMED",), "guest '../web' cannot have a tuning file"),
    ],
)
def test_what_cannot_be_saved_is_refused_before_anything_changes(
    host: Host, words: tuple[str, ...], message: str
) -> None:
    stored(host, WEB, tuning(2))
    hostile = f"<domain><name>../web</name><vcpu>2</vcpu>{tuning(1)}</domain>"
    files = {
        "FILE": host.file("tuning.xml", tuning(1)),
        "PLAN": host.file("plan.json", "{}"),
        "NAMED": host.file("named.xml", hostile),
    }
    before = host.mount.read("schemata")
    with guest(WEB):
        refused = host.cachetune("apply", "--yes", "--save", "--shrink-default", *(files.get(w, w) for w in words))
    assert (refused.returncode, message in refused.stderr) == (2, True), refused.stderr
    assert host.mount.read("schemata") == before
    assert [path.name for path in host.guests_d.iterdir()] == [f"{WEB}.xml"]
    assert not (host.guests_d.parent / "web.xml").exists()


def test_a_directory_that_cannot_be_written_is_noticed_before_the_change(host: Host) -> None:
    host.guests_d = host.file("file", "") / "guests.d"
    with guest(WEB):
        file = host.file("tuning.xml", tuning(2))
        failed = host.cachetune("apply", "--yes", "--save", "--guest", WEB, file, "--shrink-default")
    assert (failed.returncode, "cannot write" in failed.stderr) == (2, True)
    assert not host.mount.exists(GROUP)


def test_monitor_and_remove_find_a_guests_groups_under_any_machine_name(host: Host) -> None:
    file = host.file("tuning.xml", tuning(2).replace("</cachetune>", "<monitor level='3' vcpus='0'/></cachetune>"))
    db = host.file("db.xml", f"<domain><name>db</name><vcpu>2</vcpu>{tuning(1)}</domain>")
    with guest(WEB):
        named = ("--guest", WEB, "--machine-name", "special", file)
        assert host.cachetune("apply", "--yes", "--shrink-default", *named).returncode == 0
        for words in (("--guest", WEB), ("--guest", WEB, file), ("--machine-name", "special")):
            read = json.loads(host.cachetune("monitor", "--json", *words).stdout)
            assert [each["path"] for each in read["monitors"]] == [
                "special-vcpus_0-1",
                "special-vcpus_0-1/mon_groups/special-vcpus_0",
            ]
        for words, message in (
            ((file,), "does not name its guest"),
            (("--guest", WEB, db), "describes guest 'db'"),
        ):
            refused = host.cachetune("monitor", *words)
            assert (refused.returncode, message in refused.stderr) == (2, True)
        assert host.cachetune("remove", "--yes", "--guest", WEB).returncode == 0
        assert not host.mount.exists("special-vcpus_0-1")


def test_removing_an_unknown_guest_suggests_one_and_a_known_one_is_warned_of_its_file(host: Host) -> None:
    with guest(WEB):
        file = stored(host, WEB, tuning(2))
        typo = host.cachetune("remove", "--yes", "--guest", f"{WEB}x")
        assert typo.returncode == 2
        assert (
            f"guest '{WEB}x' is not known: it is not running, and has neither groups nor a tuning file" in typo.stderr
        )
        assert f"did you mean '{WEB}'?" in typo.stderr
        idle = host.cachetune("remove", "--yes", "--guest", WEB)
        assert (idle.returncode, idle.stdout.splitlines()[-1]) == (0, "Nothing to do.")
        assert host.cachetune("apply", "--yes", "--guest", WEB, "--shrink-default").returncode == 0
        removed = host.cachetune("remove", "--yes", "--guest", WEB)
        assert (removed.returncode, host.mount.exists(GROUP)) == (0, False)
        assert f"warning: {file} still requests tuning" in removed.stderr
    clean = host.cachetune("remove", "--yes", "--all-guests")
    assert (clean.returncode, clean.stdout.splitlines()[-1]) == (0, "Nothing to do.")
