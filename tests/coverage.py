"""Coverage per package, from the data that `make coverage` left: ``python -m tests.coverage``."""

from collections import defaultdict
from pathlib import Path

from coverage import Coverage

ROOT = Path(__file__).parents[1] / "cachetune"


def main() -> None:
    """Print a row for each package, then the total."""
    coverage = Coverage()
    coverage.load()
    rows: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for path in sorted(ROOT.rglob("*.py")):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        name = path.relative_to(ROOT).parts[0] if path.parent != ROOT else "(top)"
        for key in (name, "total"):
            all_statements, all_missing = rows[key]
            rows[key] = all_statements + len(statements), all_missing + len(missing)
    print(f"{'package':12}{'statements':>12}{'missed':>8}{'covered':>9}")
    for name, (statements, missed) in sorted(rows.items(), key=lambda row: row[0] == "total"):
        print(f"{name:12}{statements:>12}{missed:>8}{100 - 100 * missed / max(statements, 1):>8.1f}%")


if __name__ == "__main__":
    main()
