"""``make bench``: one table, each row a ratio against a peer measured in the same run."""

import importlib
import sys

MODULES = (
    "bench_validate",
    "bench_hook",
    "bench_agent",
    "bench_plan",
    "bench_compact",
    "bench_sampler",
    "bench_scale",
    "bench_fit",
    "bench_assign",
)


def main() -> int:
    """Print the table; exit 1 when a ratio was missed."""
    print(f"{'ours':>9} {'peer':>9} {'':3} {'ratio':>6} {'wanted':>7}")
    missed = 0
    for name in MODULES:
        for row in importlib.import_module(f"tests.bench.{name}").rows():
            print(row.text(), flush=True)
            missed += row.ratio > row.wanted
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
