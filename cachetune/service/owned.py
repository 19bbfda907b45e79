"""Which groups are ours according to the ledger.

A look that never fails: showing a host must not need our files.
"""

from pathlib import Path

from cachetune.errors import CachetuneError


def owned_groups(run: Path) -> frozenset[str]:
    """The groups that the ledger in ``run`` names; none where there is no ledger or we may not read it."""
    from cachetune.apply.state.ledger import load_ledger

    try:
        return load_ledger(run).owned
    except (CachetuneError, OSError):
        return frozenset()
