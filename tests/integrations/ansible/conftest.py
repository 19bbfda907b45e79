"""The collection is importable as it is on a host, and Ansible is installed."""

import importlib.util
import sys

import pytest

from tests.integrations.ansible.calling import call
from tests.integrations.ansible.playing import COLLECTIONS
from tests.missing import skip_without

if str(COLLECTIONS) not in sys.path:
    sys.path.append(str(COLLECTIONS))

__all__ = ["call"]


@pytest.fixture(autouse=True)
def _ansible() -> None:
    if importlib.util.find_spec("ansible") is None:
        skip_without("ansible-core is missing: make .venv/ansible.stamp")
