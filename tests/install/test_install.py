"""Files are written once, updated while they are as installed, kept once they are edited, removed without a trace."""

import os
from pathlib import Path, PurePosixPath

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cachetune.errors import InputError, UnwritableFileError
from cachetune.install import PARTS, Installation, Place, Program, install, uninstall
from cachetune.install import carry_out as module
from cachetune.install.parts import PartName, parse_mount_options, selected
from cachetune.install.signature import read_signature, sign
from tests.install.conftest import tree

NAMES: tuple[PartName, ...] = ("agent", "hook", "exporter", "recorder", "mount", "logrotate")
ALL = selected(frozenset(NAMES))
AGENT = "etc/systemd/system/cachetune-agent.service"
MOUNT = "etc/systemd/system/sys-fs-resctrl.mount"
HOOK = "etc/libvirt/hooks/qemu.d/cachetune"
OPTIONS = "etc/default/cachetune"


def actions(done: Installation) -> dict[str, str]:
    return {each.path.removeprefix(f"{done.prefix}/"): each.action for each in done.files}


def test_all_parts_are_written_with_the_path_of_the_program(program: Program, tmp_path: Path) -> None:
    done = install(ALL, program, Place(tmp_path))
    assert set(actions(done).values()) == {"create"}
    assert (tmp_path / AGENT).read_text().count("\nExecStart=/usr/bin/cachetune agent $AGENT_OPTIONS\n") == 1
    assert '\n/usr/bin/cachetune-hook $HOOK_OPTIONS "$@"\n' in (tmp_path / HOOK).read_text()
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "@" in path.read_text().replace("$@", "")
                and "@CACHETUNE" in path.read_text()]  # fmt: skip
    assert done.exit_code == 0


def test_modes_do_not_depend_on_the_umask(program: Program, tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        install(ALL, program, Place(tmp_path))
    finally:
        os.umask(before)
    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert {name for name, mode in modes.items() if mode != 0o755} == {
        path.removeprefix(f"{tmp_path}/") for path in modes if modes[path] == 0o644
    }
    assert modes[HOOK] == 0o755
    assert modes[AGENT] == modes[OPTIONS] == 0o644


def test_a_second_run_changes_nothing(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    before = tree(tmp_path)
    assert set(actions(install(ALL, program, Place(tmp_path))).values()) == {"none"}
    assert tree(tmp_path) == before


def test_an_upgrade_replaces_what_an_earlier_version_wrote(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    (tmp_path / AGENT).write_bytes(sign(b"[Service]\nExecStart=/old/cachetune agent\n", directories=3))
    done = install(ALL, program, Place(tmp_path))
    assert actions(done)[AGENT] == "update"
    assert "/usr/bin/cachetune agent" in (tmp_path / AGENT).read_text()
    uninstall(PARTS, Place(tmp_path))
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", [AGENT, HOOK])
def test_an_edited_file_is_kept_by_both_and_replaced_if_forced(program: Program, tmp_path: Path, name: str) -> None:
    install(ALL, program, Place(tmp_path))
    file = tmp_path / name
    file.write_text(edited := file.read_text().replace("\n", "\n# mine\n", 1))
    kept = install(ALL, program, Place(tmp_path))
    assert (actions(kept)[name], kept.exit_code, file.read_text()) == ("keep", 1, edited)
    (change,) = (each for each in kept.files if each.path == str(file))
    assert (change.reason, "-# mine" in change.diff.splitlines()) == ("it was edited", True)
    gone = uninstall(PARTS, Place(tmp_path))
    assert (actions(gone)[name], gone.exit_code) == ("keep", 1)
    assert file.read_text() == edited
    assert actions(install(ALL, program, Place(tmp_path), force=True))[name] == "replace"
    assert "# mine" not in file.read_text()


def test_text_below_the_signature_is_an_edit(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    with (tmp_path / HOOK).open("a") as file:
        file.write("logger started\n")
    assert actions(install(ALL, program, Place(tmp_path)))[HOOK] == "keep"


def test_edited_options_are_kept_without_complaint_even_if_forced(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    (tmp_path / OPTIONS).write_text(edited := (tmp_path / OPTIONS).read_text() + 'AGENT_OPTIONS="--adopt"\n')
    done = install(ALL, program, Place(tmp_path), force=True)
    assert (actions(done)[OPTIONS], done.exit_code) == ("keep", 0)
    gone = uninstall(PARTS, Place(tmp_path))
    assert (actions(gone)[OPTIONS], gone.exit_code) == ("keep", 0)
    assert (tmp_path / OPTIONS).read_text() == edited


def test_the_file_of_options_is_removed_with_the_last_part_that_reads_it(program: Program, tmp_path: Path) -> None:
    install(selected(frozenset({"agent", "hook"})), program, Place(tmp_path))
    uninstall(selected(frozenset({"hook"})), Place(tmp_path))
    assert (tmp_path / OPTIONS).exists()
    uninstall(selected(frozenset({"agent"})), Place(tmp_path))
    assert tree(tmp_path) == {}


def test_a_file_from_elsewhere_is_kept_and_never_removed(program: Program, tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / AGENT).write_text("[Service]\n")
    assert actions(install(ALL, program, Place(tmp_path)))[AGENT] == "keep"
    assert AGENT not in actions(uninstall(PARTS, Place(tmp_path), force=True))
    assert (tmp_path / AGENT).read_text() == "[Service]\n"


def test_a_file_of_a_package_without_its_signature_is_left_to_the_package(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    for name in (OPTIONS, "etc/logrotate.d/cachetune"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text[: text.index("# cachetune-install ")])
    done = install(ALL, program, Place(tmp_path))
    assert (set(actions(done).values()), done.exit_code) == ({"none"}, 0)
    assert uninstall(PARTS, Place(tmp_path)).exit_code == 0
    assert (tmp_path / OPTIONS).exists()
    assert (tmp_path / "etc/logrotate.d/cachetune").exists()


def test_a_masked_unit_stays_masked(program: Program, tmp_path: Path) -> None:
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    (tmp_path / AGENT).symlink_to("/dev/null")
    (change, *_) = install(ALL, program, Place(tmp_path)).files
    assert (change.action, change.reason) == ("keep", "it is masked")
    assert (tmp_path / AGENT).is_symlink()


def test_a_directory_in_place_of_a_file_is_kept_even_if_forced(program: Program, tmp_path: Path) -> None:
    (tmp_path / AGENT).mkdir(parents=True)
    (change, *_) = install(ALL, program, Place(tmp_path), force=True).files
    assert (change.action, change.reason) == ("keep", "it is not a regular file")


def test_an_enabled_unit_is_not_removed_before_it_is_disabled(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    link = tmp_path / "etc/systemd/system/multi-user.target.wants/cachetune-agent.service"
    link.parent.mkdir()
    link.symlink_to("/etc/systemd/system/cachetune-agent.service")
    done = uninstall(PARTS, Place(tmp_path))
    assert (actions(done)[AGENT], done.exit_code) == ("keep", 1)
    assert done.files[0].reason == f"it is enabled ({link}); first run: systemctl disable --now cachetune-agent.service"
    assert (tmp_path / OPTIONS).exists(), "the agent reads it"
    packaged = tmp_path / "usr/lib/systemd/system/cachetune-agent.service"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("")
    assert actions(uninstall(PARTS, Place(tmp_path)))[AGENT] == "remove"


def test_the_unit_of_a_package_serves_unless_it_differs(program: Program, tmp_path: Path) -> None:
    packages = PurePosixPath("/usr/lib/systemd/system")
    install(ALL, program, Place(tmp_path, packages))
    done = install(ALL, program, Place(tmp_path), mount_options=("cdp",))
    assert (actions(done)[AGENT], actions(done)[MOUNT]) == ("none", "create")
    assert done.files[0].reason == f"{tmp_path}{packages}/cachetune-agent.service is the same"
    other = Program("/opt/bin/cachetune", ("/opt/bin/cachetune-hook",), ())
    assert actions(install(ALL, other, Place(tmp_path)))[AGENT] == "create"


def test_a_dry_run_shows_the_difference_and_writes_nothing(program: Program, tmp_path: Path) -> None:
    done = install(ALL, program, Place(tmp_path), dry_run=True, mount_options=("cdp", "mba_MBps"))
    assert tree(tmp_path) == {}
    (mount,) = (each for each in done.files if each.part == "mount")
    assert "+Options=cdp,mba_MBps" in mount.diff.splitlines()
    install(ALL, program, Place(tmp_path))
    (mount,) = (e for e in install(ALL, program, Place(tmp_path), dry_run=True, mount_options=("cdp",)).files
                if e.part == "mount")  # fmt: skip
    assert [line for line in mount.diff.splitlines() if line[0] in "+-"][2:] == ["+Options=cdp"]


def test_a_mount_without_options_has_none(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path))
    assert "Options=" not in (tmp_path / MOUNT).read_text()
    assert "@" not in (tmp_path / MOUNT).read_text()


@pytest.mark.parametrize(
    ("words", "options"),
    [("", ()), ("cdp", ("cdp",)), ("cdp,mba_MBps,cdp", ("cdp", "mba_MBps")), ("cdpl2", ("cdpl2",))],
)
def test_mount_options_are_those_of_the_kernel(words: str, options: tuple[str, ...]) -> None:
    assert parse_mount_options(words) == options


def test_an_unknown_mount_option_has_a_suggestion() -> None:
    with pytest.raises(InputError, match="no mount option 'mba_mbps'") as caught:
        parse_mount_options("cdp,mba_mbps")
    assert caught.value.hint == "did you mean 'mba_MBps'?"
    with pytest.raises(InputError, match="no mount option 'x\\\\nExecStart=y'"):
        parse_mount_options("x\nExecStart=y")


@pytest.mark.parametrize("link", ["etc", "etc/systemd"])
def test_a_link_out_of_the_prefix_is_refused_and_nothing_is_written(
    program: Program, tmp_path: Path, link: str
) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside)
    with pytest.raises(InputError, match="leads out of"):
        install(ALL, program, Place(root))
    with pytest.raises(InputError, match="leads out of"):
        uninstall(PARTS, Place(root))
    assert tree(outside) == {}
    assert set(tree(root)) == {"etc", link}


def test_a_link_within_the_prefix_is_followed(program: Program, tmp_path: Path) -> None:
    (tmp_path / "usr/lib/systemd/system").mkdir(parents=True)
    (tmp_path / "lib").symlink_to("usr/lib")
    install(ALL, program, Place(tmp_path, PurePosixPath("/lib/systemd/system")))
    assert (tmp_path / "usr/lib/systemd/system/cachetune-agent.service").is_file()


def test_a_prefix_that_is_missing_is_made(program: Program, tmp_path: Path) -> None:
    install(ALL, program, Place(tmp_path / "a/b"))
    assert (tmp_path / "a/b" / AGENT).is_file()


def test_a_file_where_a_directory_is_needed_leaves_nothing_behind(program: Program, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/libvirt").write_text("")
    before = tree(tmp_path)
    with pytest.raises(UnwritableFileError, match=r"etc/libvirt/hooks/qemu\.d/cachetune: Not a directory"):
        install(ALL, program, Place(tmp_path))
    assert tree(tmp_path) == before


def test_a_full_disk_leaves_nothing_behind(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, staged = module.stage_file, []

    def full(path: Path, data: bytes, *, mode: int) -> object:
        if len(staged) == 3:
            raise OSError(28, "No space left on device")
        staged.append(path)
        return real(path, data, mode=mode)

    monkeypatch.setattr(module, "stage_file", full)
    with pytest.raises(UnwritableFileError, match="No space left on device"):
        install(ALL, program, Place(tmp_path))
    assert tree(tmp_path) == {}


@settings(max_examples=25)
@given(data=st.data())
def test_installing_and_uninstalling_leaves_the_tree_as_it_was(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("root")
    program = Program("/usr/bin/cachetune", ("/usr/bin/cachetune-hook",), ())
    places = st.sampled_from(
        ["etc/systemd/system", "etc/libvirt/hooks/qemu.d", "etc/libvirt", "etc/default", "etc/logrotate.d"]
    )
    for name in data.draw(st.sets(places)):
        (root / name).mkdir(parents=True, exist_ok=True)
        if data.draw(st.booleans()):
            (root / name / "other").write_text("not ours\n")
    before = tree(root)
    names = st.frozensets(st.sampled_from(NAMES))
    rounds = data.draw(st.lists(names, min_size=1, max_size=3))
    for wanted in rounds:
        install(selected(wanted), program, Place(root), mount_options=data.draw(st.sampled_from([(), ("cdp",)])))
    for part in data.draw(st.permutations(PARTS)):
        if data.draw(st.booleans()):
            uninstall((part,), Place(root))
    uninstall(PARTS, Place(root))
    assert tree(root) == before


@given(body=st.binary(), directories=st.integers(0, 99))
def test_a_signature_says_that_a_file_is_as_it_was_written(body: bytes, directories: int) -> None:
    text = body + b"\n"
    signed = read_signature(sign(text, directories))
    assert signed is not None
    assert (signed.body, signed.edited, signed.directories) == (text, False, directories)


def test_an_exporter_without_its_library_is_a_warning(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    this = msgspec.structs.replace(program, is_this=True)
    (warning, *_) = install(selected(frozenset({"exporter"})), this, Place(tmp_path)).warnings
    assert warning.startswith("the exporter requires the Python package prometheus-client; run: ")
    assert not install(selected(frozenset({"exporter"})), program, Place(tmp_path)).warnings


def test_a_service_that_needs_resctrl_says_that_nothing_mounts_it(program: Program, tmp_path: Path) -> None:
    agent, mount = selected(frozenset({"agent"})), selected(frozenset({"mount"}))
    (warning,) = install(agent, program, Place(tmp_path), dry_run=True).warnings
    assert warning == (
        "cachetune-agent.service requires a mount of resctrl, which neither a unit nor /etc/fstab has: add --mount"
    )
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/fstab").write_text("# resctrl\nresctrl /sys/fs/resctrl resctrl cdp 0 0\n")
    assert not install(agent, program, Place(tmp_path), dry_run=True).warnings
    (tmp_path / "etc/fstab").unlink()
    install(mount, program, Place(tmp_path))
    assert not install(agent, program, Place(tmp_path), dry_run=True).warnings
