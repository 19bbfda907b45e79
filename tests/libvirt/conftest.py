"""The private host for these tests. Tests are skipped without it, except in CI, where they fail."""

from collections.abc import Iterator

import pytest

from tests.libvirt.host import LibvirtHost, missing
from tests.missing import skip_without


@pytest.fixture(scope="session")
def libvirt_here() -> None:
    """Skip where there can be no private host, and say why."""
    if why := missing():
        skip_without(f"no libvirt: {why}")


@pytest.fixture(scope="module")
def host(libvirt_here: None) -> Iterator[LibvirtHost]:  # noqa: ARG001 - wanted for what it says
    """A skylake-2s of the module's own, with libvirtd running and half of each cache free."""
    with LibvirtHost("skylake-2s") as host:
        host.write("schemata", "L3:0=00f;1=01f")
        yield host
