"""Public names that a package imports on first use, so that a command which needs little starts fast.

The hook imports this for every guest of a host, so it imports nothing itself.
"""

TYPE_CHECKING = False  # typing's own costs an import
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


def lazy(package: str, modules: "Mapping[str, str]") -> "Callable[[str], Any]":
    """The ``__getattr__`` of ``package`` (PEP 562): ``modules`` maps each public name to the module that defines it.

    Modules are named relative to the package. A name is imported once and then belongs to the package like any other.
    """

    def load(name: str) -> "Any":
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f"{package}.{modules[name]}"), name)
        setattr(import_module(package), name, value)
        return value

    return load
