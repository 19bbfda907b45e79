"""What all tests share."""

import gc
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem


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
