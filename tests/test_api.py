"""The public API: its names, how they are imported, their types, and the examples of docs/how-to/python.md."""

import ast
import contextlib
import inspect
import io
import os
import pickle
import pydoc
import re
import subprocess
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cachetune
from cachetune import errors
from cachetune.guests.model import Guest
from cachetune.sim import SimulatedResctrl
from cachetune.testing import add_guest, simulate

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "how-to" / "python.md"

FUNCTIONS = {
    *("load", "read_host", "find_guests", "plan", "apply", "remove", "recover", "read_counters"),
    *("read_plan", "to_json"),  # what is saved can be read again
}
VALUES = {
    *("Host", "Domain", "Guest", "Plan", "Report", "Cbm"),
    *("Finding", "Reading", "RunningGuest", "SourceOptions", "Thread"),  # what functions, values and errors contain
}
ERRORS = {name for name, value in vars(errors).items() if isinstance(value, type) and name.endswith("Error")}


def python(code: str) -> str:
    """What a new interpreter prints that runs the code in the repository."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def resctrl() -> SimulatedResctrl:
    return simulate("skylake-2s")


@pytest.fixture
def guest(resctrl: SimulatedResctrl) -> Guest:
    return add_guest(resctrl)


# names


def test_the_public_names_are_the_functions_their_values_and_all_errors() -> None:
    assert set(cachetune.__all__) == FUNCTIONS | VALUES | ERRORS
    assert cachetune.__all__ == sorted(cachetune.__all__)


@pytest.mark.parametrize("name", cachetune.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    value = getattr(cachetune, name)
    assert callable(value)
    assert inspect.getdoc(value)


def test_public_names_are_listed_before_they_are_imported() -> None:
    assert python("import cachetune; print(set(cachetune.__all__) <= set(dir(cachetune)))") == "True\n"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'cachetune' has no attribute 'aply'"):
        cachetune.aply  # noqa: B018


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    code = "import sys, cachetune; print(sorted(m for m in sys.modules if m.startswith(('cachetune', 'msgspec'))))"
    assert python(code) == "['cachetune', 'cachetune.lazy']\n"


def test_an_error_is_imported_without_the_functions() -> None:
    assert python("import sys, cachetune; cachetune.InputError; print('cachetune.service' in sys.modules)") == "False\n"


@pytest.mark.parametrize(
    "first",
    [
        "import cachetune.plan.model",
        "import cachetune.apply.run",
        "from cachetune.plan import plan_guests",
        "from cachetune import plan, apply",
        "cachetune.read_host",
        "cachetune.plan",
        "pass",
    ],
)
def test_plan_and_apply_are_functions_and_packages_whatever_is_imported_first(first: str) -> None:
    code = f"""
import cachetune
{first}
host = cachetune.read_host("sim:skylake-2s")
made = cachetune.plan(cachetune.load("examples/web.xml"), host, shrink_default=True)
import cachetune.plan.model, cachetune.apply.run
from cachetune import plan, apply
assert isinstance(made, cachetune.plan.model.Plan) and isinstance(made, cachetune.Plan)
assert plan is cachetune.plan and callable(apply) and callable(cachetune.apply.run.apply)
assert plan(cachetune.load("examples/web.xml"), host, shrink_default=True) == made
"""
    python(code)


@pytest.mark.parametrize("name", ["plan", "apply"])
def test_the_signatures_of_callable_packages_are_those_of_the_functions(name: str) -> None:
    from cachetune.service import api

    assert inspect.signature(getattr(cachetune, name)) == inspect.signature(getattr(api, name))


def test_help_describes_every_function() -> None:
    text = pydoc.plain(pydoc.render_doc(cachetune))
    for name in FUNCTIONS:
        assert re.search(rf"^ +{name}  +\S", text, re.MULTILINE), name


# types

PROGRAM = """
import pickle
from pathlib import Path

import cachetune
import cachetune.testing


def place(name: str, file: Path) -> cachetune.Report | None:
    (running,) = cachetune.find_guests(name)
    domain: cachetune.Domain = cachetune.load(file)
    host: cachetune.Host = cachetune.read_host()
    try:
        plan: cachetune.Plan = cachetune.plan(domain, host, running, shrink_default=True)
    except cachetune.PlanRefusedError as refused:
        messages: list[str] = [finding.message for finding in refused.findings]
        print(messages)
        return None
    masks: list[cachetune.Cbm | None] = [group.schemata.masks.at("L3", 0) for group in plan.groups]
    print(masks, pickle.dumps(plan))
    return cachetune.apply(plan)


def simulated(run: Path) -> bytes:
    resctrl = cachetune.testing.simulate()
    guest: cachetune.Guest = cachetune.testing.add_guest(resctrl)
    plan = cachetune.plan(cachetune.load("web.xml"), cachetune.read_host(resctrl), guest)
    readings: tuple[cachetune.Reading, ...] = cachetune.read_counters(None, resctrl)
    print(len(readings))
    return cachetune.to_json(cachetune.apply(plan, resctrl, run=run))
"""
WRONG = """
import cachetune

report: cachetune.Plan = cachetune.recover()
cachetune.plan("web.xml", cachetune.read_host())
"""


def mypy(program: str, directory: Path) -> str:
    pytest.importorskip("mypy")
    file = directory / "program.py"
    file.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(directory / "cache"), str(file)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=directory, env=environment)
    return done.stdout + done.stderr


def test_mypy_accepts_a_program_that_uses_the_api_and_finds_its_mistakes(tmp_path: Path) -> None:
    assert mypy(PROGRAM, tmp_path) == "Success: no issues found in 1 source file\n"
    found = mypy(WRONG, tmp_path)
    assert "[assignment]" in found
    assert "[arg-type]" in found


# values


def test_values_pickle(resctrl: SimulatedResctrl, guest: Guest, tmp_path: Path) -> None:
    domain = cachetune.load("examples/web.xml")
    host = cachetune.read_host(resctrl)
    plan = cachetune.plan(domain, host, guest, shrink_default=True)
    report = cachetune.apply(plan, resctrl, run=tmp_path)
    readings = cachetune.read_counters(None, resctrl)
    for value in (domain, host, guest, plan, report, readings, cachetune.Cbm(7)):
        copy = pickle.loads(pickle.dumps(value))  # noqa: S301 - our own
        assert (copy, type(copy)) == (value, type(value))


def test_a_path_and_its_content_give_the_same_plan() -> None:
    file = ROOT / "examples" / "web.xml"
    loaded = [cachetune.load(file), cachetune.load(str(file)), cachetune.load(file.read_bytes())]
    host = cachetune.read_host("sim:skylake-2s")
    plans = [cachetune.plan(domain, host, shrink_default=True) for domain in loaded]
    assert loaded[0].name == "web"
    assert plans[0] == plans[1] == plans[2]


def test_a_running_guest_is_planned_like_its_guest(resctrl: SimulatedResctrl, guest: Guest) -> None:
    running = cachetune.RunningGuest(name="web", uuid=None, source="threads", guest=guest)
    domain, host = cachetune.load("examples/web.xml"), cachetune.read_host(resctrl)
    plans = [cachetune.plan(domain, host, each, shrink_default=True) for each in (guest, running)]
    assert plans[0] == plans[1]


def test_a_running_guest_names_the_domain_of_a_tuning_file(resctrl: SimulatedResctrl, guest: Guest) -> None:
    uuid = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
    running = cachetune.RunningGuest(name="db", uuid=uuid, source="threads", guest=guest)
    host = cachetune.read_host(resctrl)
    plan = cachetune.plan(cachetune.load("examples/tuning.xml"), host, running, shrink_default=True)
    assert (plan.machine_names, plan.guests[0].uuid) == (("cachetune-db",), uuid)
    with pytest.raises(cachetune.WrongGuestError):
        cachetune.plan(cachetune.load("examples/web.xml"), host, running)


def test_live_xml_keeps_libvirts_machine_name(resctrl: SimulatedResctrl, guest: Guest) -> None:
    xml = (ROOT / "examples" / "web.xml").read_text().replace("<domain ", "<domain id='7' ")
    running = cachetune.RunningGuest(name="web", uuid=None, source="libvirt-status", guest=guest, libvirt_id=7, xml=xml)
    plan = cachetune.plan(cachetune.load(xml.encode()), cachetune.read_host(resctrl), running, shrink_default=True)
    assert plan.machine_names == ("qemu-7-web",)


def test_a_running_guest_with_unidentified_vcpus_is_refused(resctrl: SimulatedResctrl, guest: Guest) -> None:
    running = cachetune.RunningGuest(name="web", uuid=None, source="cgroup", guest=guest, problem="no vCPU names")
    with pytest.raises(cachetune.GuestVcpusUnknownError, match="no vCPU names"):
        cachetune.plan(cachetune.load("examples/web.xml"), cachetune.read_host(resctrl), running)


def test_a_run_directory_must_be_given_with_an_object(resctrl: SimulatedResctrl) -> None:
    plan = cachetune.plan(cachetune.load("examples/web.xml"), cachetune.read_host(resctrl), shrink_default=True)
    calls: list[Callable[[], object]] = [
        lambda: cachetune.apply(plan, resctrl),
        lambda: cachetune.remove("web", resctrl),
        lambda: cachetune.recover(resctrl),
    ]
    for call in calls:
        with pytest.raises(cachetune.InputError, match="run directory"):
            call()


def test_counters_of_an_unknown_group_are_an_error(resctrl: SimulatedResctrl) -> None:
    with pytest.raises(cachetune.GroupNotFoundError) as raised:
        cachetune.read_counters([".", "web"], resctrl)
    assert raised.value.path == "web"


def test_doubtful_guests_are_warned_about(monkeypatch: pytest.MonkeyPatch, guest: Guest) -> None:
    from cachetune.service import select

    liar = cachetune.RunningGuest(name="web", uuid=None, source="threads", guest=guest, user=1000)
    monkeypatch.setattr(select, "guest_named", lambda *_, **__: liar)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert cachetune.find_guests("web") == (liar,)
    (warning,) = caught
    assert "unverified: only process 4711 (user 1000)" in str(warning.message)
    assert (warning.category, warning.filename) == (RuntimeWarning, __file__)


# the page

BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"# -> (.*)$")


def examples(block: str) -> Iterator[tuple[ast.stmt, str | None]]:
    """The statements of a block, each with the value or output that a comment on or below its lines shows."""
    lines = block.splitlines()
    for statement in ast.parse(block).body:
        end = statement.end_lineno or statement.lineno
        below = lines[end : end + 1]
        shown = [*lines[statement.lineno - 1 : end], *(line for line in below if line.startswith("    #"))]
        found = [match[1] for line in shown if (match := EXPECTED.search(line))]
        yield statement, "\n".join(found) if found else None


def outcome(statement: ast.stmt, namespace: dict[str, Any]) -> str:
    """The repr of an expression's value, or what the statement prints."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if isinstance(statement, ast.Expr):
            value = eval(compile(ast.Expression(statement.value), str(PAGE), "eval"), namespace)  # noqa: S307 - our page
            if value is not None:
                return repr(value)
        else:
            exec(compile(ast.Module([statement], []), str(PAGE), "exec"), namespace)  # noqa: S102 - our page
    return output.getvalue().rstrip()


def test_the_examples_of_the_page_show_what_they_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    namespace: dict[str, Any] = {}
    checked = 0
    for block in BLOCKS:
        for statement, expected in examples(block):
            found = outcome(statement, namespace)
            if expected is not None:
                assert found == expected, ast.unparse(statement)
                checked += 1
    assert checked > 20
    run_in_pytest(namespace["test_my_program_reports_a_full_host"], tmp_path)


def run_in_pytest(test: types.FunctionType, directory: Path) -> None:
    """Run a test of the page with the fixture that its marker configures."""
    (marker,) = test.pytestmark  # type: ignore[attr-defined]
    test(simulate(**marker.kwargs), directory)


def test_the_page_names_every_function_and_value_and_the_errors_to_catch() -> None:
    text = PAGE.read_text()
    missing = [name for name in FUNCTIONS | VALUES - {"SourceOptions"} if f"`{name}`" not in text]
    assert not missing
    for name in re.findall(r"`(\w+Error)`", text):
        assert name in cachetune.__all__, name
