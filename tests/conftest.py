"""What all tests share."""

import gc
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem


@pytest.fixture
def fs(fs: FakeFilesystem) -> Iterator[FakeFilesystem]:
    """pyfakefs' own, ended only when no object is left that holds a descriptor of it.

    An object that gives its descriptor back when it is collected would later close a real file of that number.
    """
    yield fs
    gc.collect()
