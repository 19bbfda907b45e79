"""What all tests share."""

import gc
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from cachetune.testing import plugin


def pytest_configure(config: pytest.Config) -> None:
    """Load our own plugin where the installed package does not yet name it."""
    if not config.pluginmanager.has_plugin("cachetune"):
        config.pluginmanager.register(plugin, "cachetune")


@pytest.fixture
def no_garbage() -> None:
    gc.collect()


@pytest.fixture
def fs(no_garbage: None, fs: FakeFilesystem) -> Iterator[FakeFilesystem]:  # noqa: ARG001 - wanted for its order
    """pyfakefs' own, begun and ended only when no object is left that holds a descriptor of the other world.

    An object that gives its descriptor back when it is collected would else close another file of that number.
    """
    yield fs
    gc.collect()
