"""The direction of imports between the packages, as docs and docstrings promise it, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cachetune"

# The floors of the house, the lowest first. A module may import from its own package and from the floors below.
LEAVES = {"cbm", "documents", "errors", "extras", "files", "findings", "idset", "lazy", "picture", "text", "units"}
FLOORS = (
    LEAVES,
    {"domain", "host"},
    {"guests", "sim"},
    {"plan"},
    {"fleet"},
    {"apply", "watch"},
    {"service"},
    {"agent", "hook", "testing"},
    {"doctor", "exporter", "install"},
    {"explain"},
    {"cli"},
    {"__main__"},
)
# What a package does not need of the floors below it.
STRANGERS = {
    "sim": {"domain"},
    "domain": {"documents"},
    "guests": {"host"},
}
OUTSIDE = {"os", "io", "pathlib", "subprocess", "shutil", "socket", "tempfile", "fcntl", "glob", "time"}
FOREIGN_TO = {
    "host": {"lxml", "xml", "xmlschema"},
    "guests": {"xml", "xmlschema"},
    "plan": OUTSIDE | {"lxml", "xml", "xmlschema"},
    "fleet": OUTSIDE - {"pathlib"} | {"lxml", "xml", "xmlschema"},
}
TERMINAL = {"click", "rich", "textual"}
ENDS_OR_PRINTS = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write", "sys.stderr.write"}
# Separate programs, and child processes, which must not return.
PROGRAMS = {
    "hook/__init__.py: sys.exit",
    "hook/__init__.py: sys.stderr.write",
    "hook/log.py: sys.stderr.write",
    "service/workers.py: os._exit",
    "sim/fuse/serve.py: os._exit",
    "testing/server.py: sys.exit",
}
MODULES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> Iterator[str]:
    """The full names of all modules imported anywhere in a file."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=str(module), level=0, names=names):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.ImportFrom():
                pytest.fail(f"{path}:{node.lineno}: relative import")


def layer_of(path: Path) -> str:
    """The first name below cachetune: a package or a top-level module ("" for cachetune itself)."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first == "__init__" else first


def floor_of(name: str) -> int:
    """The number of the floor that a package or top-level module is on. Fails for one that is on none."""
    for number, floor in enumerate(FLOORS):
        if name in floor:
            return number
    return pytest.fail(f"{name} is on no floor: add it to FLOORS")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_floors_below(path: Path) -> None:
    layer = layer_of(path)
    if not layer:  # cachetune/__init__.py names what is public; it is loaded on first use
        return
    ours = [name.split(".") for name in imported(path) if name.split(".")[0] == "cachetune"]
    used = {parts[1] for parts in ours if len(parts) > 1} - {layer, "__version__"}
    above = {name for name in used if floor_of(name) >= floor_of(layer) and not {name, layer} <= LEAVES}
    assert not above
    assert not used & STRANGERS.get(layer, set())


@pytest.mark.parametrize("layer", sorted(FOREIGN_TO))
def test_a_layer_stays_away_from_what_is_not_its_business(layer: str) -> None:
    for path in (PACKAGE / layer).rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & FOREIGN_TO[layer], path


def test_only_libvirts_own_xml_is_read_where_guests_are_found() -> None:
    readers = {path.stem for path in (PACKAGE / "guests").rglob("*.py") if "lxml" in {*map(_root, imported(path))}}
    assert readers == {"live_xml", "libvirt_status"}


def test_an_extra_is_imported_only_when_it_is_used() -> None:
    extras = {"libvirt", "qemu", "mfusepy", "prometheus_client", "yaml", "jinja2", "ortools"}
    for path in MODULES:
        at_once = {name for node in ast.parse(path.read_text()).body for name in _names(node)}
        assert not extras & {*map(_root, at_once)}, path


def _root(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _names(node: ast.stmt) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [name.name for name in names]
        case ast.ImportFrom(module=str(module)):
            return [module]
    return []


def test_the_plan_opens_no_file() -> None:
    for path in (PACKAGE / "plan").rglob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        assert not names & {"open", "print", "input", "exec", "eval", "__import__"}, path


def test_the_hook_never_calls_libvirt() -> None:
    for path in (PACKAGE / "hook").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"libvirt", "subprocess", "socket"}, path


def test_only_the_command_line_knows_the_terminal() -> None:
    for path in MODULES:
        roots = {name.split(".")[0] for name in imported(path)}
        assert layer_of(path) == "cli" or not roots & TERMINAL, path


def test_nothing_below_the_command_line_prints_or_ends_the_process() -> None:
    found = {
        f"{path.relative_to(PACKAGE)}: {call}"
        for path in MODULES
        if layer_of(path) != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and (call := ast.unparse(node.func)) in ENDS_OR_PRINTS
    }
    assert found == PROGRAMS
