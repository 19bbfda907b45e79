"""The documentation is true: its commands run, the names in it exist, its tables match the code.

In a ``console`` block a line that begins with "$ " is run in the root of the repository, with sh; "# exit N" says how
it exits, and the lines below it are what it prints. Lines that begin with "# " are for root on a real host.
"""

import ast
import importlib
import itertools
import json
import os
import posixpath
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import click
import msgspec.inspect
import pytest
from msgspec.structs import replace

from cachetune import documents, hook
from cachetune.agent.decide import AgentOptions
from cachetune.agent.loop import Agent
from cachetune.agent.model import AgentPlanning, AgentStatus
from cachetune.agent.notify import Notifier
from cachetune.agent.reconcile import Inputs
from cachetune.apply.report import Outcome, Report
from cachetune.apply.run import Connection, apply
from cachetune.apply.state.change_log import Change
from cachetune.apply.state.ledger import Ledger, load_ledger
from cachetune.cbm import Cbm
from cachetune.cli.main import VERBS, Verbs
from cachetune.cli.show.rules_page import pages
from cachetune.doctor.model import Diagnosis
from cachetune.domain import load
from cachetune.explain.catalog import RULES, explained_rules
from cachetune.explain.model import RuleTable
from cachetune.findings import Findings, Refusal
from cachetune.fleet.assign.model import FleetAssignment
from cachetune.fleet.compare import Comparison
from cachetune.fleet.model import FleetFit
from cachetune.guests import Guest, RunningGuest, Thread, named_threads
from cachetune.guests.tuning_files import TuningFile
from cachetune.host.model import Host
from cachetune.host.read import read_host
from cachetune.host.usage import HostUsage
from cachetune.install import Installation
from cachetune.plan import Options, Plan
from cachetune.plan.build import plan
from cachetune.service.advise import Advice
from cachetune.service.change_log import ChangeLog
from cachetune.service.drift import Drift, GuestDrift
from cachetune.service.export import Exported
from cachetune.service.measure import Request as MeasureRequest
from cachetune.service.measure import measure
from cachetune.service.move import MovedGuest
from cachetune.service.noisy import recorded_noise
from cachetune.service.status import Guests, state_of, tuning_of
from cachetune.service.suggest import Measured, Situation, suggest
from cachetune.service.wanted import wanted
from cachetune.sim import SimulatedResctrl, load_profile
from cachetune.sim.workloads import Workload
from cachetune.watch import Readings
from cachetune.watch.advice import advise
from cachetune.watch.history import Recorder
from cachetune.watch.ranking import Ranking
from cachetune.watch.usage import Cache, Moment, Usage
from tests.service.measured import Scene
from tests.watch.neighbors import crowd, moments

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
ROOT_PAGES = ("CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")
# tests/test_readme.py has the README, and tests/test_tutorial.py runs the tutorial's commands.
PAGES = [*sorted(DOCS.rglob("*.md")), *(ROOT / name for name in ROOT_PAGES)]
TEXTS = {os.path.relpath(page, DOCS): page.read_text() for page in PAGES}
# docs/hooks.py makes these when the site is built.
GENERATED = {f"reference/rules/{name}": text for name, text in pages(explained_rules()).items()}
CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?![$#] ).*\n)*)", re.MULTILINE)
EXIT = re.compile(r"  # exit ([0-9])$")
SPAN = re.compile(r"`([^`\n]+)`")
AGE = re.compile(r"\([0-9]+ [a-z]+ old\)")  # of a snapshot
PLACEHOLDER = re.compile(r"[A-Z]{4,}")  # as in cachetune/cli/commands/VERB.py

Command = tuple[str, str, str]


def commands() -> Iterator[Command]:
    """Page, command and the part of its output that is shown."""
    for page, text in TEXTS.items():
        if page == "tutorial.md":
            continue
        for block in CONSOLE.findall(text):
            yield from ((page, command, shown) for command, shown in COMMAND.findall(block))


def spans(page: str) -> set[str]:
    """The text in backticks, except in code blocks."""
    return set(SPAN.findall(re.sub(r"^```.*?^```$", "", TEXTS[page], flags=re.MULTILINE | re.DOTALL)))


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a shell where ``cachetune`` is this repository's; stderr is merged into stdout."""
    program = directory / "cachetune"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m cachetune.cli.main "$@"\n')
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{directory}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
    }
    return subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("page", "command", "shown"), list(commands()))
def test_a_command_exits_and_prints_as_the_page_shows(page: str, command: str, shown: str, tmp_path: Path) -> None:
    result = run(command, tmp_path)
    code = EXIT.search(command)
    assert (page, result.returncode) == (page, int(code[1]) if code else 0), result.stdout
    assert "Traceback" not in result.stdout
    assert AGE.sub("(old)", result.stdout).startswith(AGE.sub("(old)", shown))


def test_every_verb_is_run_on_some_page() -> None:
    shown = {verb for _, command, _ in commands() for verb in re.findall(r"cachetune ([a-z][a-z-]*)", command)}
    assert shown == set(VERBS)


@pytest.mark.parametrize("page", TEXTS)
def test_the_links_have_targets(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]*)(?:#[^)]*)?\)", TEXTS[page]):
        assert not target or _place(page, target) in GENERATED or (DOCS / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", TEXTS)
def test_the_anchors_are_headings(page: str) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)#([^)]*)\)", TEXTS[page]):
        place = _place(page, target)
        text = GENERATED.get(place) or ((DOCS / place).read_text() if target else TEXTS[page])
        assert anchor in {_anchor(title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def _place(page: str, target: str) -> str:
    """The path below docs of a link on a page."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def _anchor(title: str) -> str:
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def test_the_table_of_decisions_names_each_with_its_title() -> None:
    table = re.findall(r"^\| \[([0-9]+)\]\((.*)\) \| (.*) \|$", TEXTS["decisions/index.md"], re.MULTILINE)
    files = sorted((DOCS / "decisions").glob("0*.md"))
    assert [(file, f"# {number}. {title}") for number, file, title in table] == [
        (file.name, file.read_text().partition("\n")[0]) for file in files
    ]


@pytest.mark.parametrize("page", TEXTS)
def test_the_tests_it_names_exist(page: str) -> None:
    for name in spans(page):
        file, separator, test = name.partition("::")
        if separator:
            tree = ast.parse((ROOT / file).read_text())
            assert test in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, name


@pytest.mark.parametrize("page", TEXTS)
def test_the_functions_and_modules_it_names_exist(page: str) -> None:
    for name in spans(page):
        if re.fullmatch(r"cachetune(\.\w+)+", name):
            assert _is_of_the_collection(name) or _resolves(name.split(".")), name


def _is_of_the_collection(name: str) -> bool:
    """Whether it is the Ansible collection, or one of its modules, playbooks and roles."""
    collection = ROOT / "integrations/ansible_collections/cachetune/resctrl"
    own = [path.stem for place in ("plugins/modules", "playbooks", "roles") for path in (collection / place).iterdir()]
    return name in {"cachetune.resctrl", *(f"cachetune.resctrl.{each}" for each in own)}


def _resolves(parts: list[str]) -> bool:
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            found = getattr(found, part, None)
        return found is not None
    return False


@pytest.mark.parametrize("page", TEXTS)
def test_the_files_it_names_exist(page: str) -> None:
    ours = ("cachetune/", "schemas/", "examples/", "tests/", "docs/")
    for name in spans(page):
        if name.startswith(ours) and "::" not in name and " " not in name and not PLACEHOLDER.search(name):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("page", TEXTS)
def test_the_rules_it_names_exist(page: str) -> None:
    assert set(re.findall(r"\bCT[0-9]{3}\b", TEXTS[page])) - {"CT999"} <= set(RULES)


@pytest.mark.parametrize("page", TEXTS)
def test_the_options_it_names_exist(page: str) -> None:
    named = {match[0] for name in spans(page) if (match := re.match(r"--[a-z][a-z0-9-]*", name))}
    group = Verbs()
    context = click.Context(group)
    verbs = [verb for name in VERBS if (verb := group.get_command(context, name))]
    verbs += [inner for verb in verbs if isinstance(verb, click.Group) for inner in verb.commands.values()]
    known = {
        option for verb in verbs for parameter in verb.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert named <= known | {*hook.FLAGS, *hook.VALUES, "--help"}


def test_every_option_and_operation_of_the_hook_is_described() -> None:
    described = spans("how-to/hook.md")
    assert described >= {*hook.FLAGS, *hook.VALUES}
    assert described >= {f"{operation} {ending}" for operation, ending in hook.OPERATIONS}
    table = rows(TEXTS["how-to/hook.md"], "libvirt calls", "the hook", "with `--strict`")
    stopped = {row[0].strip("`").split()[0] for row in table if row[2].startswith("stops the guest")}
    assert stopped == set(hook.MAY_STOP)


# exit codes


def rows(text: str, *header: str) -> list[list[str]]:
    """The cells of the table with this header."""
    lines = iter(text.splitlines())
    for line in lines:
        if _cells(line) == list(header):
            return [_cells(row) for row in itertools.takewhile(lambda row: row.startswith("|"), lines)][1:]
    raise AssertionError(f"no table {header}")


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_verb_has_a_row_in_the_table_of_exit_codes() -> None:
    table = rows(TEXTS["reference/exit-codes.md"], "verb", "0", "1", "2", "3")
    assert [row[0] for row in table] == [f"`{verb}`" for verb in VERBS]


def test_every_exit_code_in_the_table_is_shown_and_no_other() -> None:
    table = rows(TEXTS["reference/exit-codes.md"], "verb", "0", "1", "2", "3")
    listed = {(row[0].strip("`"), code) for row in table for code, cell in enumerate(row[1:]) if cell}
    shown = set()
    for _, command, _ in commands():
        code = EXIT.search(command)
        shown.add((re.findall(r"cachetune ([a-z][a-z-]*)", command)[-1], int(code[1]) if code else 0))
    # these write to a host; the next test and tests/cli cover them
    verbs = ("apply", "set", "remove", "default", "compact", "recover", "agent", "advise")
    on_a_real_host = {(verb, code) for verb in verbs for code in (0, 1, 3)}
    on_a_real_host -= {("compact", 0), ("advise", 0)}  # these need none
    on_a_real_host.add(("noisy", 1))
    assert shown == listed - on_a_real_host


def test_every_outcome_has_the_exit_code_in_the_table() -> None:
    table = {row[0].strip("`"): int(row[1]) for row in rows(TEXTS["reference/exit-codes.md"], "outcome", "exit code")}
    assert table == {outcome: Report(outcome=outcome, machine_names=()).exit_code for outcome in get_args(Outcome)}


# JSON documents

DOCUMENTS = (
    Findings,
    Plan,
    Refusal,
    Report,
    Host,
    HostUsage,
    Readings,
    Guests,
    Drift,
    FleetFit,
    FleetAssignment,
    Comparison,
    MovedGuest,
    Exported,
    AgentStatus,
    Diagnosis,
    Installation,
    ChangeLog,
    Change,
    Advice,
    Measured,
    RuleTable,
    Ranking,
)
JSON_PAGE = TEXTS.get("reference/json.md", "")
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", JSON_PAGE, re.MULTILINE | re.DOTALL))
MEASURED = {"time", "value", "started", "looked", "since", "changed"}


def structs(kind: msgspec.inspect.Type, found: dict[str, set[str]]) -> dict[str, set[str]]:
    """The names of the JSON fields of every struct in a document, by struct name."""
    if isinstance(kind, msgspec.inspect.StructType) and kind.cls.__name__ not in found:
        fields = found[kind.cls.__name__] = {field.encode_name for field in kind.fields}
        if kind.tag_field:
            fields.add(kind.tag_field)
        for field in kind.fields:
            structs(field.type, found)
    for name in ("item_type", "value_type"):
        if inner := getattr(kind, name, None):
            structs(inner, found)
    for inner in (*getattr(kind, "types", ()), *getattr(kind, "item_types", ())):
        structs(inner, found)
    return found


def test_every_field_of_every_document_is_described_and_no_other() -> None:
    known: dict[str, set[str]] = {}
    for document in DOCUMENTS:
        structs(msgspec.inspect.type_info(document), known)
    described = {
        title: {row[0].strip("`") for row in rows(JSON_PAGE, f"field of {title}", "meaning")}
        for title in re.findall(r"^\| field of (\w+) \| meaning \|$", JSON_PAGE, re.MULTILINE)
    }
    assert described == known


def test_every_document_has_a_section_with_an_example() -> None:
    assert set(SECTIONS) >= {document.__name__ for document in DOCUMENTS}
    assert [title for title, section in SECTIONS.items() if "```json" in section] == [d.__name__ for d in DOCUMENTS]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.__name__)
def test_the_example_is_part_of_the_real_output(document: type[msgspec.Struct], tmp_path: Path) -> None:
    section = SECTIONS[document.__name__]
    (shown,) = re.findall(r"^```json\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    printed = [run(command, tmp_path).stdout for command, _ in COMMAND.findall("".join(CONSOLE.findall(section)))]
    (real,) = printed or [documents.encode(MADE[document](tmp_path)).decode()]
    documents.decode(real.encode(), document, document.__name__)
    assert_part(json.loads(shown), json.loads(real), document.__name__)


def report_on_a_thread_that_ended(run_directory: Path) -> Report:
    """The page's example: examples/web.xml is applied, and thread 4712 has ended."""
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    connection = Connection(resctrl, run_directory)
    domain = load((ROOT / "examples/web.xml").read_bytes(), "web.xml").domain
    assert domain
    resctrl.add_task(4711)
    made = plan(
        domain, connection.look(Ledger()), named_threads({0: 4711, 1: 4712}, None), Options(shrink_default=True)
    )
    return apply(made, connection)


def drift_of_a_guest(_: Path) -> Drift:
    """The page's example: a guest without libvirt whose tuning file is not applied."""
    threads = (Thread(4711, vcpu=0), Thread(4712, vcpu=1))
    running = RunningGuest(name="web", uuid=None, source="threads", guest=Guest(pid=4707, threads=threads))
    tune = b"<cputune><memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune></cputune>"
    file = load(tune, "/etc/cachetune/guests.d/web.xml")
    assert file.domain
    file = msgspec.structs.replace(file, domain=msgspec.structs.replace(file.domain, name="web"))
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    for thread in threads:
        resctrl.add_task(thread.tid)
    tuning = tuning_of(running, wanted(running, file), read_host(resctrl))
    return Drift(guests=(GuestDrift(name="web", uuid=None, pid=4707, tuning=tuning),))


def a_guest_that_drifted(_: Path) -> Guests:
    """The page's example: libvirt runs a guest with two vCPUs, whose group is missing on the host."""
    tune = "<memorytune vcpus='0-1'><node id='0' bandwidth='50'/></memorytune>"
    vcpus = (Thread(4711, vcpu=0), Thread(4712, vcpu=1))
    others = (Thread(4707), Thread(4713, iothread="iothread1"), Thread(4720, vhost="thread"))
    running = RunningGuest(
        name="web",
        uuid="6f1e6fa3-7fd9-4b0a-8a0c-5b9b5d1f3b10",
        source="libvirt-status",
        user=64055,
        guest=Guest(pid=4707, threads=(*others, *vcpus)),
        libvirt_id=7,
        xml=f"<domain type='kvm' id='7'><name>web</name><vcpu>2</vcpu><cputune>{tune}</cputune></domain>",
    )
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    for tid in (4707, 4711, 4712):
        resctrl.add_task(tid)
    host = read_host(resctrl)
    return Guests(guests=(state_of(running, tuning_of(running, wanted(running, None), host), host),))


def status_of_an_agent(run_directory: Path) -> AgentStatus:
    """The page's example: the agent has placed the guest of examples/web.xml."""
    resctrl = SimulatedResctrl(load_profile("skylake-2s"))
    for tid in (4711, 4712):
        resctrl.add_task(tid)
    guest = Guest(4711, tuple(Thread(4711 + vcpu, 0, f"CPU {vcpu}/KVM", vcpu) for vcpu in (0, 1)))
    domain = load((ROOT / "examples/web.xml").read_bytes(), "web.xml").domain
    inputs = Inputs(
        connection=lambda: Connection(resctrl, run_directory),
        files=lambda _: {"web": TuningFile(domain)},
        guests=lambda: (RunningGuest(name="web", uuid=None, source="threads", guest=guest),),
    )
    options = AgentOptions(shrink_default=True, period=0.1)
    planning = AgentPlanning(resctrl="/sys/fs/resctrl", guests_d="/etc/cachetune/guests.d", shrink_default=True)
    status = Agent(inputs, options, run_directory, lambda *_: None, Notifier(), lambda: False, planning).once()
    return msgspec.structs.replace(status, pid=812, start_time=2406, running=True, once=False, period_seconds=5.0)


def first_line_of_the_example(_: Path) -> Change:
    line, *_others = (ROOT / "examples/changes.jsonl").read_bytes().splitlines()
    return documents.decode(line, Change, "the first line")


def advice_from_two_hours(_: Path) -> Advice:
    """The page's example: a guest never fills its four ways."""
    used = Usage("cachetune-web-vcpus_0-1", "web", "control", 0, Cbm(0xF), 3 << 20, 4e7, 3e7)
    moments = [Moment(1.8e9 + second, (Cache(0, 25952256, 11),), (used,)) for second in range(0, 7201, 10)]
    return Advice(
        source="/var/lib/cachetune/history.db", since=moments[0].time, until=moments[-1].time, groups=advise(moments)
    )


def measured_guest(directory: Path) -> Measured:
    """The page's example: a guest with three ways needs two of them."""
    scene = Scene(directory, {"web": 3})
    work = Workload(kind="reuse", bytes_per_second=1e9, working_set_bytes=4 << 20, fresh=0.01)
    scene.sim.run("web", work, [thread.tid for thread in scene.guests["web"].guest.threads])
    guests = tuple(scene.guests.values())
    curves = measure(MeasureRequest(guests=guests), scene.connection, pace=scene.pace)
    ledger = load_ledger(scene.connection.run)
    now = Situation(guests, scene.connection.look(ledger), ledger, directory / "guests.d", Options())
    return suggest(curves, now, 180.0)


def ranking_of_two_guests(directory: Path) -> Ranking:
    """The page's example: batch takes from web in the ways of the default group."""
    with Recorder(directory / "history.db") as recorder:
        for moment in moments(*[crowd()] * 5):
            recorder.add(moment)
    return replace(recorded_noise(directory / "history.db").ranking, source="/var/lib/cachetune/history.db")


MADE: dict[type[msgspec.Struct], Callable[[Path], msgspec.Struct]] = {
    Advice: advice_from_two_hours,
    Measured: measured_guest,
    Report: report_on_a_thread_that_ended,
    Guests: a_guest_that_drifted,
    Drift: drift_of_a_guest,
    AgentStatus: status_of_an_agent,
    Change: first_line_of_the_example,
    Ranking: ranking_of_two_guests,
}


def assert_part(shown: Any, real: Any, where: str) -> None:
    """Assert that ``shown`` is part of ``real``: fields and list items may be left out, measured values may differ."""
    assert type(shown) is type(real), where
    if isinstance(shown, dict):
        for key, value in shown.items():
            assert key in real, f"{where}.{key}"
            if key in MEASURED:
                assert type(value) is type(real[key]), f"{where}.{key}"
            else:
                assert_part(value, real[key], f"{where}.{key}")
    elif isinstance(shown, list):
        assert len(shown) <= len(real), where
        for number, (value, found) in enumerate(zip(shown, real, strict=False)):
            assert_part(value, found, f"{where}[{number}]")
    else:
        assert shown == real, where
