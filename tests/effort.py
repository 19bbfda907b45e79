"""How long the tests that try random things go on: CACHETUNE_EFFORT times as long as usual."""

import os


def examples(usual: int) -> int:
    """So many examples for hypothesis."""
    return usual * int(os.environ.get("CACHETUNE_EFFORT", "1"))
