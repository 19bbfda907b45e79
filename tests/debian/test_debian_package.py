"""The Debian package in fresh roots of Debian 12 and 13: installed, used, upgraded, removed and purged."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cachetune import __version__
from cachetune.domain import SCHEMA
from tests.debian.conftest import Installed
from tests.debian.root import PYTHONS, Root
from tests.missing import skip_without

pytestmark = pytest.mark.install

EXAMPLES = "/usr/share/doc/cachetune/examples"
SERVICES = ("cachetune-agent.service", "cachetune-exporter.service", "cachetune-record.service")
UNITS = (*SERVICES, "sys-fs-resctrl.mount")
STATE = ("/etc/cachetune/host.toml", "/etc/cachetune/guests.d/web.xml", "/var/lib/cachetune/history.db")
HOOK = "/etc/libvirt/hooks/qemu.d/cachetune"
RUNNING = "<domain type='kvm' id='3'><name>web</name><vcpu>2</vcpu>{}</domain>"
REQUEST = (
    "<cputune><cachetune vcpus='0'><cache id='0' level='3' type='both' size='2' unit='MiB'/></cachetune></cputune>"
)


def shipped(root: Root) -> list[str]:
    """The files and directories of the package."""
    return root.run("dpkg", "-L", "cachetune").split()


def newer(root: Root, deb: str) -> str:
    """The same package with a higher version."""
    root.run("dpkg-deb", "--raw-extract", deb, "/newer")
    control = root.directory / "newer" / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^Version: .*", "Version: 99.0-1", control.read_text()))
    root.run("dpkg-deb", "-Znone", "--build", "/newer", "/newer.deb")
    shutil.rmtree(root.directory / "newer")
    return "/newer.deb"


def test_the_package_brings_the_command_with_all_extras(installed: Installed) -> None:
    root = installed.root
    assert root.run("cachetune", "--version") == f"cachetune {__version__}\n"
    assert "L3 0" in root.run("cachetune", "demo")
    root.run("cachetune", "validate", "--engine", "xsd", f"{EXAMPLES}/web.xml")
    said = root.run("cachetune", "plan", "--host", "sim:skylake-2s", "--shrink-default", f"{EXAMPLES}/web.xml")
    assert "cachetune-web-vcpus_0-1" in said
    extras = ("textual", "mfusepy", "prometheus_client", "jinja2", "yaml", "qemu.qmp")
    code = f"import importlib.util as i; print([m for m in {extras} if i.find_spec(m) is None])"
    assert root.run("/usr/lib/cachetune/bin/python3", "-c", code) == "[]\n"


def test_the_package_needs_the_python_it_was_built_with_libc_and_kill(installed: Installed) -> None:
    depends = installed.root.run("dpkg-query", "-W", "-f", "${Depends}", "cachetune")
    assert re.fullmatch(
        rf"libc6 \(>= [\d.]+\), procps, python{PYTHONS[installed.release]}", ", ".join(sorted(depends.split(", ")))
    )


def test_a_program_is_a_file_in_usr_bin_for_apparmor_looks_at_the_target_of_a_link(installed: Installed) -> None:
    for program in ("cachetune", "cachetune-hook"):
        path = installed.root.directory / "usr" / "bin" / program
        assert not path.is_symlink()
        assert path.read_text().startswith("#!/usr/lib/cachetune/bin/python3\n")


def test_no_file_names_the_directory_of_the_build(installed: Installed, checkout: Path) -> None:
    root = installed.root
    for directory in ("/root/cachetune", str(checkout)):
        assert root.run("grep", "-rlF", directory, "/usr/lib/cachetune", "/usr/bin/cachetune", code=1) == ""


def test_the_copyright_file_names_each_library_that_the_package_brings(installed: Installed) -> None:
    brought = re.findall(r"/([\w.]+)-[\w.]+\.dist-info$", "\n".join(shipped(installed.root)), re.MULTILINE)
    text = installed.root.run("cat", "/usr/share/doc/cachetune/copyright")
    named = re.findall(r"([\w.]+)/\*", "".join(re.findall(r"^Files: (.*)", text, re.MULTILINE)))
    assert sorted(named) == sorted({*brought} - {"cachetune"})


def test_no_unit_is_enabled_and_systemd_finds_nothing_to_say_about_any(installed: Installed) -> None:
    root = installed.root
    assert root.run("systemctl", "is-enabled", *UNITS, code=1).split() == ["disabled"] * 4
    paths = [
        path for path in shipped(root) if path.startswith(("/lib/systemd", "/usr/lib/systemd")) and path.endswith(UNITS)
    ]
    assert len(paths) == 4
    assert root.run("systemd-analyze", "verify", *paths) == ""


def test_removal_stops_the_services_but_never_unmounts_resctrl(installed: Installed) -> None:
    info = installed.root.directory / "var" / "lib" / "dpkg" / "info"
    stopped = re.findall(r"deb-systemd-invoke stop (.*?) >", (info / "cachetune.prerm").read_text())
    assert sorted(" ".join(stopped).replace("'", "").split()) == sorted(SERVICES)
    scripts = "".join(path.read_text() for path in info.glob("cachetune.p*"))
    assert not re.search(r"deb-systemd-invoke.*\.mount", scripts)


def test_the_command_uses_the_units_of_the_package_and_leaves_files_of_dpkg_alone(
    installed: Installed, tmp_path: Path
) -> None:
    root = installed.root.copy(tmp_path / "root")
    said = root.run("cachetune", "install", "--agent", "--exporter", "--recorder", "--mount")
    assert said.count("unchanged ") == 5
    assert root.run("cachetune", "uninstall") == "nothing is installed\n"
    assert root.run("dpkg", "--verify", "cachetune") == ""


def test_the_hook_in_libvirts_directory_is_silent_about_other_guests_and_stops_none(
    installed: Installed, tmp_path: Path
) -> None:
    root = installed.root.copy(tmp_path / "root")
    (root.directory / "etc/libvirt/hooks").mkdir(parents=True)
    root.run("cachetune", "install", "--hook")
    assert root.run(HOOK, "web", "prepare", "begin", "-", stdin=RUNNING.format("")) == ""
    said = root.run(HOOK, "web", "prepare", "begin", "-", stdin=RUNNING.format(REQUEST))
    assert said.startswith("cachetune-hook: prepare of web: ")
    assert "resctrl" in said


def test_libvirts_binding_is_found_once_debian_has_installed_it(installed: Installed, tmp_path: Path) -> None:
    root = installed.root.copy(tmp_path / "root")
    root.run("/usr/lib/cachetune/bin/python3", "-c", "import libvirt", code=1)
    root.install("python3-libvirt")
    root.run("/usr/lib/cachetune/bin/python3", "-c", "import libvirt; libvirt.getVersion()")


def test_completions_are_where_the_shells_look(installed: Installed) -> None:
    root = installed.root
    assert "complete" in root.run("cat", "/usr/share/bash-completion/completions/cachetune")
    assert root.run("cat", "/usr/share/zsh/vendor-completions/_cachetune").startswith("#compdef cachetune")
    assert "complete" in root.run("cat", "/usr/share/fish/vendor_completions.d/cachetune.fish")


def test_the_schema_that_tuning_files_name_is_there(installed: Installed) -> None:
    assert SCHEMA == "/usr/share/cachetune/cachetune.rng"
    for language in ("rng", "rnc", "xsd"):
        installed.root.sh(f"cachetune schema --bundle {language} | cmp - {SCHEMA.removesuffix('rng')}{language}")


def test_man_finds_the_pages(installed: Installed) -> None:
    for section, name in (
        ("1", "cachetune"),
        ("1", "cachetune-plan"),
        ("8", "cachetune-hook"),
        ("5", "cachetune-tuning"),
    ):
        path = installed.root.run("man", "--where", section, name).strip()
        assert path == f"/usr/share/man/man{section}/{name}.{section}.gz"
    said = installed.root.run("man", "--warnings", "--encoding=utf8", "cachetune-agent")
    assert "cachetune agent" in said
    assert "warning:" not in said


def test_an_upgrade_keeps_what_the_administrator_made_and_purge_leaves_nothing(
    installed: Installed, tmp_path: Path
) -> None:
    root = installed.root.copy(tmp_path / "root")
    before = installed.before | {"etc/libvirt", "etc/libvirt/hooks"}  # which libvirt-daemon-system brings
    mine = {path: f"# {path}\n" for path in (*STATE, "/etc/logrotate.d/cachetune", "/etc/default/cachetune")}
    (root.directory / "etc/libvirt/hooks").mkdir(parents=True)
    for path, text in mine.items():
        root.sh(f"mkdir -p $(dirname {path}) && cat >{path}", stdin=text)
    root.run("cachetune", "install", "--hook")
    root.run("systemctl", "enable", *UNITS)

    root.run("apt-get", "-qy", "install", newer(root, installed.deb))
    (root.directory / "newer.deb").unlink()
    assert root.run("dpkg-query", "-W", "-f", "${Version}", "cachetune") == "99.0-1"
    assert {path: root.run("cat", path) for path in mine} == mine
    assert root.run("systemctl", "is-enabled", *UNITS).split() == ["enabled"] * 4
    assert "L3 0" in root.run("cachetune", "demo")

    root.run("apt-get", "-qy", "remove", "cachetune")
    assert {path: root.run("cat", path) for path in mine} == mine
    assert "not found" in root.run(
        HOOK, "web", "prepare", "begin", "-", stdin=RUNNING.format(REQUEST)
    )  # stops no guest
    assert not (root.directory / "usr/lib/cachetune").exists()

    root.run("apt-get", "-qy", "purge", "cachetune")
    assert sorted(root.files() - before) == []
    assert sorted(before - root.files()) == []


def test_systemd_runs_a_service_an_upgrade_restarts_it_and_removal_stops_it(
    installed: Installed, tmp_path: Path
) -> None:
    copy = installed.root.copy(tmp_path / "root")
    package = newer(copy, installed.deb)
    with copy.booted() as root:
        root.run("systemctl", "start", "cachetune-exporter")
        started = root.run("systemctl", "show", "-P", "MainPID", "cachetune-exporter")
        root.run("apt-get", "-qy", "install", package)
        assert root.run("systemctl", "is-active", *SERVICES).split() == ["inactive", "active", "inactive"]
        assert root.run("systemctl", "show", "-P", "MainPID", "cachetune-exporter") not in (started, "0\n")
        root.run("apt-get", "-qy", "remove", "cachetune")
        assert root.run("systemctl", "show", "-P", "ActiveState", "cachetune-exporter") == "inactive\n"


def test_lintian_finds_no_error_and_no_warning(installed: Installed) -> None:
    if not shutil.which("lintian"):
        skip_without("lintian is required")
    if not Path("/etc/os-release").read_text().count(f'VERSION_ID="{installed.release}"'):
        return  # Lintian knows the policy of one release.
    package = f"{installed.root.directory}{installed.deb}"
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", package]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
