"""What a test needs and this machine does not have."""

import os
from typing import NoReturn

import pytest


def skip_without(why: str) -> NoReturn:
    """Skip the test, and say why; in CI, which has everything, fail it."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
