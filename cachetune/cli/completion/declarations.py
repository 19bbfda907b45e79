"""Import a verb for its declaration only: names, options and help, without the program behind them.

At a TAB, planning, applying and rendering are not needed, but a verb's module imports them. Within ``declarations``
such a module is an empty one, whose every name is an empty class: enough for annotations, which is all that a
declaration uses of them. What is imported within is forgotten at the end, so that nothing else gets an empty module.
PEP 810 brings lazy imports to Python 3.15, and then this module can go.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# What declarations are made of. All other modules of the project, and these libraries, are empty.
_DECLARING = (
    *("cachetune.cli", "cachetune.errors", "cachetune.idset", "cachetune.lazy", "cachetune.text", "cachetune.units"),
    *("cachetune.guests", "cachetune.guests.sources", "cachetune.guests.sources.options"),
    *("cachetune.domain.xml.schema", "cachetune.sim.rules", "cachetune.watch.history"),
    *("cachetune.cli.top.model", "cachetune.cli.top.view"),
)
RULES = (
    *("cachetune.domain.rules", "cachetune.plan.rules", "cachetune.apply.rules"),
    *("cachetune.doctor.checks", "cachetune.doctor.model", "cachetune.explain", "cachetune.findings"),
)
"""What the tables of rules are made of."""
_PROGRAM = ("cachetune.cli.show", "cachetune.cli.top", "lxml", "rich", "textual")


@contextmanager
def declarations(*also: str) -> Iterator[None]:
    """Within, modules that a declaration does not need are empty when they are imported.

    The packages and modules ``also`` are needed as well.
    """
    known = set(sys.modules)
    finder = _Finder(also)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - known:
            if name.partition(".")[0] in ("cachetune", "lxml", "rich", "textual"):
                del sys.modules[name]


class _Empty(ModuleType):
    def __init__(self, name: str, finder: "_Finder") -> None:
        super().__init__(name)
        self.__finder = finder

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if not self.__finder.is_empty(f"{self.__name__}.{name}"):  # a module that is needed, in a package that is not
            return import_module(f"{self.__name__}.{name}")
        return _Anything(name, (_Unused,), {})


class _Anything(type):
    def __getattr__(cls, name: str) -> Any:
        """An annotation can name a member, as in ``etree._Element``."""
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(name, (_Unused,), {})


class _Unused(metaclass=_Anything):
    def __init__(self, *_values: Any, **_named: Any) -> None:
        """A constant of a verb's module can be made of a value that only the program uses."""


class _Finder(MetaPathFinder, Loader):
    def __init__(self, also: Sequence[str]) -> None:
        self._also = also

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002 - importlib's signature
    ) -> ModuleSpec | None:
        if not self.is_empty(fullname):
            return None
        spec = ModuleSpec(fullname, self, is_package=True)
        spec.submodule_search_locations = [f"{base}/{fullname.rpartition('.')[2]}" for base in path or ()]
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to do."""

    def is_empty(self, name: str) -> bool:
        """Whether nothing needs the module with this name."""
        if name in _DECLARING or _within(name, self._also):
            return False
        if _within(name, _PROGRAM):
            return True
        return name.startswith("cachetune.") and not name.startswith("cachetune.cli.")


def _within(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
