"""What is collected, from where, and that no input can end it with a traceback."""

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from cachetune import documents
from cachetune.doctor.checks import CHECKS
from cachetune.doctor.examination import Installed, Kernel, Processor, Unknown
from cachetune.doctor.examine import Scope, examine
from cachetune.errors import InputError, ProfileNotFoundError
from cachetune.host.read import read_host
from cachetune.service.connection import Location
from cachetune.sim import SimulatedResctrl, load_profile, profile_names, write_tree
from tests.doctor.scenes import an_interrupted_run
from tests.doctor.servers import RELEASE, VCPUS, Server, problems_of, results_of

ROUNDS = 150


def on_host(host: str) -> dict[str, str]:
    """The status of every check on a snapshot or a simulated host."""
    return {name: each.status for name, each in results_of(examine(Scope(location=Location(host=host)))).items()}


def test_an_unpacked_root_is_examined_in_all_its_parts(tmp_path: Path) -> None:
    seen = Server(tmp_path).examined()
    unknown = [name for name in seen.__struct_fields__ if isinstance(getattr(seen, name), Unknown)]
    assert unknown == []
    assert isinstance(seen.kernel, Kernel)
    assert seen.kernel.release == RELEASE
    assert seen.libvirt == "11.3.0"
    assert seen.resctrl == "/sys/fs/resctrl"
    assert isinstance(seen.guests, tuple)
    assert [guest.running.name for guest in seen.guests] == ["web"]
    assert seen.guests[0].cpus.keys() >= set(VCPUS)


def test_a_simulated_host_and_a_snapshot_have_only_resctrl(tmp_path: Path) -> None:
    snapshot = tmp_path / "host.json"
    snapshot.write_bytes(documents.encode(read_host(SimulatedResctrl(load_profile("milan")))))
    for host in ("sim:milan", str(snapshot)):
        statuses = on_host(host)
        assert {n for n, status in statuses.items() if status != "skipped"} == {
            *("CT602", "CT603", "CT604", "CT622", "CT631", "CT632", "CT633", "CT641", "CT645", "CT646")
        }
        assert set(statuses.values()) == {"ok", "skipped"}


def test_a_snapshot_without_l3_control_says_so_without_the_processors_flags() -> None:
    results = results_of(examine(Scope(location=Location(host="sim:monitor-only"))))
    assert results["CT602"].status == "warn"
    assert "rdt=l3cat" in results["CT602"].fix


@pytest.mark.parametrize("profile", sorted({*profile_names()} - {"monitor-only"}))
def test_a_fresh_simulated_host_has_no_problems(profile: str) -> None:
    assert problems_of(results_of(examine(Scope(location=Location(host=f"sim:{profile}"))))) == {}


def test_a_processor_with_l2_control_alone_is_no_fault() -> None:
    results = results_of(examine(Scope(location=Location(host="sim:atom-l2"))))
    assert results["CT602"].status == "info"


def test_groups_without_a_counter_are_found_on_a_host_with_few_of_them(tmp_path: Path) -> None:
    sim = SimulatedResctrl(load_profile("turin-few-counters"))
    for name in ("a", "b", "c", "d"):
        sim.mkdir(name)
    write_tree(sim, tmp_path / "copy")
    result = results_of(examine(Scope(location=Location(resctrl=tmp_path / "copy"))))["CT631"]
    assert result.status == "warn"
    assert "d" in result.details


def test_a_copy_of_a_tree_is_not_mixed_with_this_machine(tmp_path: Path) -> None:
    write_tree(SimulatedResctrl(load_profile("milan")), tmp_path / "copy")
    seen = examine(Scope(location=Location(resctrl=tmp_path / "copy")))
    assert seen.kind == "copy"
    assert isinstance(seen.processor, Unknown)
    assert isinstance(seen.guests, Unknown)
    assert isinstance(seen.journal, Unknown)
    assert problems_of(results_of(seen)) == {}


@pytest.mark.parametrize(("host", "error"), [("sim:nowhere", ProfileNotFoundError), ("/nonexistent", InputError)])
def test_a_host_that_does_not_exist_is_an_error(host: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        examine(Scope(location=Location(host=host)))


def test_an_empty_directory_as_root_skips_nearly_everything(tmp_path: Path) -> None:
    results = results_of(examine(Scope(root=tmp_path)))
    assert results["CT601"].status == results["CT611"].status == results["CT642"].status == "skipped"
    assert str(tmp_path) in results["CT601"].text


@pytest.mark.parametrize(
    ("path", "write"),
    [
        ("proc/config.gz", lambda path: path.write_bytes(gzip.compress(b"CONFIG_ARM64=y\nCONFIG_RESCTRL_FS=y\n"))),
        (f"usr/lib/modules/{RELEASE}/config", lambda path: path.write_text("CONFIG_ARM64=y\nCONFIG_RESCTRL_FS=y\n")),
    ],
)
def test_the_kernels_configuration_is_found_compressed_or_with_the_modules(
    path: str, write: Callable[[Path], object], tmp_path: Path
) -> None:
    server = Server(tmp_path)
    server.without_resctrl()
    server.delete(f"boot/config-{RELEASE}")
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    write(tmp_path / path)
    result = server.results()["CT611"]
    assert (result.status, result.text) == ("fail", f"kernel {RELEASE} is built without CONFIG_ARM64_MPAM")


def test_a_damaged_configuration_is_as_good_as_missing(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.without_resctrl()
    server.delete(f"boot/config-{RELEASE}")
    (tmp_path / "proc/config.gz").write_bytes(b"\x1f\x8b" + b"\xff" * 50)
    assert server.results()["CT611"].status == "skipped"


def test_mpam_is_recognized_by_the_firmwares_table(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("proc/cpuinfo", "processor\t: 0\nFeatures\t: fp asimd\n")
    server.write("sys/firmware/acpi/tables/MPAM", "MPAM")
    assert server.examined().processor == Processor("", frozenset({"fp", "asimd"}), mpam=True)
    assert server.results()["CT601"].status == "ok"


def hook(server: Server, text: str) -> Installed:
    server.write("etc/libvirt/hooks/qemu.d/cachetune", text, 0o755)
    hooks = server.examined().hooks
    assert isinstance(hooks, tuple)
    return hooks[0]


def test_the_call_in_a_hook_is_found_among_comments_and_other_lines(tmp_path: Path) -> None:
    server = Server(tmp_path)
    text = '#!/bin/sh\n# calls cachetune-hook\nset -e\nexec /usr/local/bin/cachetune-hook --shrink-default "$@"\n'
    found = hook(server, text)
    assert found.program == "/usr/local/bin/cachetune-hook"
    assert found.program_path == str(tmp_path / "usr/local/bin/cachetune-hook")
    assert found.refused == ""


def test_a_hook_with_an_option_that_does_not_exist_fails(tmp_path: Path) -> None:
    server = Server(tmp_path)
    hook(server, '#!/bin/sh\ncachetune-hook --shrink "$@"\n')
    result = server.results()["CT671"]
    assert result.status == "fail"
    assert "unknown option '--shrink'" in result.text


def test_a_hook_may_be_a_link_to_the_program(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.delete("etc/libvirt/hooks/qemu.d/cachetune")
    (tmp_path / "etc/libvirt/hooks/qemu").symlink_to(tmp_path / "usr/local/bin/cachetune-hook")
    assert server.results()["CT671"].status == "fail"  # absolute in the copy: the program is not below the root again
    (tmp_path / "etc/libvirt/hooks/qemu").unlink()
    (tmp_path / "etc/libvirt/hooks/qemu").symlink_to("/usr/local/bin/cachetune-hook")
    hooks = server.examined().hooks
    assert isinstance(hooks, tuple)
    assert hooks[0].program_path


def test_the_hooks_of_other_programs_are_left_out(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("etc/libvirt/hooks/qemu", "#!/bin/sh\nlogger started $1\n", 0o755)
    hooks = server.examined().hooks
    assert isinstance(hooks, tuple)
    assert len(hooks) == 1


def test_a_wrapper_of_pqos_is_recognized_behind_its_shell(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.process(900, "/bin/sh", "/usr/sbin/pqos-msr", "-m", "all:0")
    result = server.results()["CT642"]
    assert result.text == "process 900 (pqos-msr) may write the processor's registers directly"


def test_a_configuration_that_is_not_toml_is_reported_as_not_known(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("etc/containerd/config.toml", "plugins = [\n")
    result = server.results()["CT643"]
    assert result.status == "info"
    assert "is not valid" in result.text


def test_a_run_in_progress_is_not_an_interrupted_one(tmp_path: Path) -> None:
    server = Server(tmp_path)
    an_interrupted_run(server)
    seen = server.examined()
    assert seen.journal is not None
    assert not isinstance(seen.journal, Unknown)
    running = msgspec.structs.replace(seen, journal=msgspec.structs.replace(seen.journal, runs=812))
    result = results_of(running)["CT661"]
    assert (result.status, result.text) == ("info", "a run is in progress (process 812)")


def test_a_damaged_journal_and_a_damaged_ledger_fail_with_the_reason(tmp_path: Path) -> None:
    server = Server(tmp_path)
    server.write("run/cachetune/journal.jsonl", '{"record": "begin"} 00000000\n')
    server.write("run/cachetune/ledger.json", '{"schema_version": 1, "guests": 7}')
    results = server.results()
    assert results["CT661"].status == results["CT662"].status == "fail"
    assert "checksum" in results["CT661"].text
    assert not results["CT661"].fixable


# -- hostile ------------------------------------------------------------------------------------------------------

JUNK = (b"", b"\0" * 64, b"\xff\xfe" * 40, b"=" * 200, b"{[(<" * 30, b"9" * 5000, b"a:b=c;d\n" * 50, b"\n" * 20)


@pytest.mark.parametrize("seed", range(3))
def test_damaged_files_never_end_in_a_traceback(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret
    server = Server(tmp_path / "server")
    files = sorted(p for p in server.root.rglob("*") if p.is_file() and not p.is_symlink())
    for _ in range(ROUNDS // 3):
        file = chance.choice(files)
        before = file.read_bytes()
        file.write_bytes(chance.choice(JUNK) if chance.random() < 0.7 else before[: chance.randrange(len(before) + 1)])
        results = server.results()
        assert len(results) == len(CHECKS)
        file.write_bytes(before)


@pytest.mark.parametrize(
    "path",
    [
        *("proc/cpuinfo", "proc/mounts", "proc/cmdline", "etc/fstab", "run/cachetune/ledger.json"),
        *("etc/libvirt/hooks/qemu.d/cachetune", "etc/cachetune/guests.d/web.xml", f"boot/config-{RELEASE}"),
    ],
)
@pytest.mark.parametrize("kind", ["directory", "pipe", "loop"])
def test_something_else_than_a_file_is_skipped_or_reported(path: str, kind: str, tmp_path: Path) -> None:
    server = Server(tmp_path)
    place = tmp_path / path
    place.unlink()
    if kind == "directory":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to(place)
    assert len(server.results()) == len(CHECKS)
