"""The direction of imports between the packages, as docs and docstrings promise it, read from the source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cachetune"
VALUES = {"errors", "findings", "idset", "units"}

# What each layer may import of ours, besides itself. Documents turn masks into JSON, so they know Cbm.
ALLOWED = {
    "errors": set(),
    "findings": set(),
    "idset": set(),
    "units": set(),
    "documents": {"errors", "host"},
    "domain": VALUES,
    "host": VALUES,
    "guests": VALUES,
    "sim": {"errors", "host"},
    "plan": VALUES | {"domain", "host", "guests"},
    "apply": VALUES | {"documents", "domain", "host", "guests", "plan"},
    "agent": VALUES | {"documents", "domain", "guests_d", "host", "guests", "plan", "apply"},
    "guests_d": VALUES | {"domain"},
    "hook": VALUES | {"guests_d", "domain", "host", "guests", "plan", "apply"},
    "monitor": VALUES | {"domain", "host", "guests", "plan"},
    "cli": VALUES
    | {"", "documents", "domain", "host", "guests", "plan", "apply", "agent", "guests_d", "monitor", "sim"},
}
OUTSIDE = {"os", "io", "pathlib", "subprocess", "shutil", "socket", "tempfile", "fcntl", "glob", "time"}
FOREIGN_TO = {
    "host": {"lxml", "xml", "xmlschema"},
    "guests": {"xml", "xmlschema"},
    "plan": OUTSIDE | {"lxml", "xml", "xmlschema"},
}
TERMINAL = {"click", "rich"}
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


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_layers_below_its_own(path: Path) -> None:
    layer = layer_of(path)
    ours = [name.split(".") for name in imported(path) if name.split(".")[0] == "cachetune"]
    # "from cachetune import __version__" names the package itself
    used = {parts[1] if parts[1] in ALLOWED else "" for parts in ours}
    assert used <= ALLOWED.get(layer, set()) | {layer}


@pytest.mark.parametrize("layer", sorted(FOREIGN_TO))
def test_a_layer_stays_away_from_what_is_not_its_business(layer: str) -> None:
    for path in (PACKAGE / layer).rglob("*.py"):
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & FOREIGN_TO[layer], path


def test_only_libvirts_own_xml_is_read_where_guests_are_found() -> None:
    readers = {path.stem for path in (PACKAGE / "guests").glob("*.py") if "lxml" in {*map(_root, imported(path))}}
    assert readers == {"livexml", "status"}


def test_an_extra_is_imported_only_when_it_is_used() -> None:
    extras = {"libvirt", "qemu", "mfusepy", "prometheus_client"}
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
