"""Import here what programs in machines import, so that its bytecode is kept: there it would be lost with each machine,
and compiling takes seconds."""

import contextlib
import importlib
import pkgutil

import cachetune
from tests import conformance
from tests.kernel import scenarios


def main() -> None:
    """Import all modules."""
    for package in (cachetune, conformance, scenarios):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__"):
                with contextlib.suppress(ImportError):  # of an extra that is not installed
                    importlib.import_module(module.name)


if __name__ == "__main__":
    main()
