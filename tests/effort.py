"""How many random examples the tests try: CACHETUNE_EFFORT times the usual number."""

import os


def examples(usual: int) -> int:
    """The number of examples for hypothesis."""
    return usual * int(os.environ.get("CACHETUNE_EFFORT", "1"))
