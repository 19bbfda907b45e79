"""The registry of guest sources: what each module must have, and everything that follows from the names."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from cachetune.cli import options
from cachetune.cli.commands.guests import command
from cachetune.errors import SourceUnavailableError
from cachetune.guests import sources
from cachetune.guests.find import look, running_guests
from cachetune.guests.sources import NAMES, Source, load
from cachetune.guests.sources.options import SourceOptions, settings
from cachetune.guests.sources.sighting import Search, Seen
from tests.guests.lookalike import add_process

NOT_SOURCES = {"__init__", "live_xml", "options", "sighting"}
DOCUMENT = Path(__file__).parents[3] / "docs" / "explanation" / "guests.md"
SETTINGS_OF = {
    "libvirt-status": {"libvirt_run"},
    "libvirt": {"connect"},
    "qmp": {"qmp"},
    "threads": {"proc"},
    "cgroup": {"cgroup"},
}


def test_the_order_of_trust() -> None:
    assert NAMES == ("libvirt-status", "libvirt", "qmp", "threads", "cgroup")


def test_every_module_is_registered() -> None:
    modules = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - NOT_SOURCES
    assert modules == {name.replace("-", "_") for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_a_source_has_a_label_worth_asking_and_look(name: sources.SourceName) -> None:
    module = load(name)
    assert isinstance(module.LABEL, str)
    for function in ("worth_asking", "look"):
        expected = inspect.signature(getattr(Source, function))
        found = inspect.signature(getattr(module, function))
        assert len(found.parameters) == len(expected.parameters) - 1, "all but self"
        assert getattr(module, function).__doc__


@pytest.mark.parametrize("name", NAMES)
def test_a_sighting_carries_the_name_of_its_source(name: sources.SourceName) -> None:
    text = Path(str(inspect.getsourcefile(load(name)))).read_text()  # type: ignore[arg-type]
    assert f'source="{name}"' in text


def test_the_command_line_offers_the_names_and_the_settings() -> None:
    by_name = {parameter.name: parameter for parameter in command.params}
    choice = by_name["source"].type
    assert isinstance(choice, click.Choice)
    assert tuple(choice.choices) == NAMES
    for name in SourceOptions.__struct_fields__:
        assert by_name[name].default == getattr(SourceOptions(), name)
    help_text = CliRunner().invoke(command, ["--help"]).output
    for setting in settings().values():
        assert setting.help.split()[0] in help_text


def test_options_of_the_command_line_become_settings(tmp_path: Path) -> None:
    made = options.selection({"connect": "qemu:///session", "cgroup": tmp_path, "source": "libvirt"})
    assert (made.sources, made.source) == (SourceOptions(connect="qemu:///session", cgroup=tmp_path), "libvirt")


def test_a_setting_requests_its_source() -> None:
    assert SourceOptions().requested == frozenset()
    assert SourceOptions(connect="qemu:///system", qmp=Path("/run/qmp")).requested == {"libvirt", "qmp"}


def test_the_documented_table_has_every_source_in_order_with_its_settings() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (.+) \|$", DOCUMENT.read_text().partition("## Sources")[2], re.MULTILINE)
    table = rows[: len(NAMES)]
    assert tuple(name for name, _ in table) == NAMES
    for name, row in table:
        for setting in SETTINGS_OF[name]:
            assert f"`--{setting.replace('_', '-')}`" in row
    assert set().union(*SETTINGS_OF.values()) == set(SourceOptions.__struct_fields__)


def test_importing_the_sources_does_not_import_what_only_one_of_them_needs() -> None:
    code = f"import sys; from cachetune.guests.sources import load; [load(n) for n in {NAMES}]; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"asyncio", "libvirt", "qemu", "qemu.qmp"} & set(loaded)


# one source more


@pytest.fixture
def dbus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A source of one module and one name. It knows other threads than the thread names say."""
    module = ModuleType("cachetune.guests.sources.d_bus")
    exec(  # noqa: S102 - the module of a new source, as its author would write it
        """
from cachetune.guests.sources.sighting import Seen, Sighting

LABEL = "the D-Bus service"


def worth_asking(search):
    return bool(search.unseen)


def look(search):
    return Seen(tuple(Sighting(source="d-bus", process=each, name="web", vcpus={0: 42}) for each in search.unseen))
""",
        module.__dict__,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sources, "NAMES", ("libvirt-status", "d-bus", "threads"))
    return module


@pytest.fixture
def settings_of_one_guest(tmp_path: Path) -> SourceOptions:
    """A guest "web" whose thread 41 has the name of vCPU 0."""
    add_process(tmp_path / "proc", 40, {40: "kvm", 41: "CPU 0/KVM", 42: "kvm"}, arguments=("kvm", "-name", "web"))
    return SourceOptions(proc=tmp_path / "proc", libvirt_run=tmp_path / "run")


@pytest.mark.usefixtures("dbus")
def test_a_new_source_takes_part_in_its_place_and_is_named_in_sentences(settings_of_one_guest: SourceOptions) -> None:
    (guest,) = running_guests(settings_of_one_guest)
    assert (guest.source, guest.name) == ("d-bus", "web")
    assert [thread.tid for thread in guest.guest.threads if thread.vcpu == 0] == [42]
    assert guest.disagreements == ("the D-Bus service and its process list different threads for vCPU 0: 42 and 41",)


def test_a_new_source_that_is_not_worth_asking_does_not_take_part(
    dbus: ModuleType, settings_of_one_guest: SourceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dbus, "worth_asking", lambda _: False, raising=True)
    (guest,) = running_guests(settings_of_one_guest)
    assert (guest.source, guest.disagreements) == ("threads", ())


def test_a_new_source_that_fails_is_a_note_unless_it_was_requested(
    dbus: ModuleType, settings_of_one_guest: SourceOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Search) -> Seen:
        raise SourceUnavailableError("d-bus", "no answer")

    monkeypatch.setattr(dbus, "look", fail, raising=True)
    found = look(settings_of_one_guest)
    assert (len(found.guests), found.notes) == (1, ("source d-bus: no answer",))
    with pytest.raises(SourceUnavailableError):
        look(settings_of_one_guest, "d-bus")  # type: ignore[arg-type]
