"""How strong the tests are: how many mutants of the code they notice. ``python -m tests.soak.mutation [MINUTES]``.

Mutants (``tests.soak.mutants``) are drawn at random, the same number of every 100 of each module; CACHETUNE_SEED sets
the seed. First all tests run once, to learn which lines each reaches and how long it takes. Then each mutant runs in a
child process, with the tests that reach its line, the fastest first, until one fails. The child has pytest and the
libraries imported, and imports the mutated module in place of the real one, so most mutants take less than a second.

The score is the share that tests noticed. A survivor is a gap in the tests or makes no difference; the list says where
to look. (mutmut and cosmic-ray run whole test files, or start pytest for every mutant: a tenth of the mutants here.)
"""

import argparse
import ast
import collections
import dataclasses
import importlib
import importlib.abc
import importlib.machinery
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import CodeType

import coverage
import pytest

from tests.soak.mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[2]
MODULES = (
    "cachetune/plan",
    "cachetune/apply",
    "cachetune/host/resctrl/schemata.py",
    "cachetune/host/check.py",
    "cachetune/domain/*.py",
    "cachetune/cbm.py",
)
TESTS = (
    "tests/plan",
    "tests/apply",
    "tests/rules",
    "tests/domain",
    "tests/host",
    "tests/fuzz",
    "tests/hook/test_deaths.py",
    "tests/service/test_plans.py",
    "tests/test_cbm.py",
)
OPTIONS = (
    *("-q", "-x", "-p", "no:cacheprovider", "--benchmark-disable", "-m", "not kernel and not libvirt"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # what is imported before pytest starts
    *("--ignore", "tests/apply/test_random_runs.py"),  # minutes under coverage
)
LONGEST = 5.0  # seconds of tests for one mutant, and of one test
SLOWDOWN = 10.0  # a mutant may take this many times as long as the code: then it loops
UNNOTICED = {"survived", "unreached"}
NOTICED = {1: "failed", -signal.SIGALRM: "endless", -signal.SIGXCPU: "endless", -signal.SIGKILL: "endless"}


@dataclasses.dataclass(frozen=True)
class Reached:
    """Which tests reach which line of which file, and their seconds."""

    tests: dict[str, dict[int, tuple[str, ...]]]
    seconds: dict[str, float]

    def of(self, file: str, line: int) -> list[str]:
        """The tests for a mutant, the fastest first, for LONGEST seconds; for code run at import, those of its file."""
        lines = self.tests.get(file, {})
        names = lines.get(line) or {name for of in lines.values() for name in of}
        chosen, total = [], 0.0
        for name in sorted(names, key=lambda name: self.seconds.get(name, LONGEST)):
            total += self.seconds.get(name, LONGEST)
            if total > LONGEST and chosen:
                break
            chosen.append(name)
        return chosen


def main() -> int:
    """Print the survivors and the scores."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("minutes", nargs="?", type=float, default=30)
    parser.add_argument("--only", action="append", help="modules: paths or patterns, such as cachetune/plan/diff.py")
    parser.add_argument("--learned", type=Path, help="keep what the tests reach in this file, or take it from there")
    chosen = parser.parse_args()
    seed = int(os.environ.get("CACHETUNE_SEED") or random.randrange(1 << 32))  # noqa: S311 - no secret
    os.environ["CI"] = "mutation"  # hypothesis draws the same examples each time
    os.chdir(ROOT)
    reached = _learned(chosen.learned)
    end = time.monotonic() + 60 * chosen.minutes
    files = sorted({file for pattern in chosen.only or MODULES for file in _files(pattern)})
    drawn = _drawn(files, seed)
    print(f"mutation: CACHETUNE_SEED={seed}, {len(drawn)} mutants of {len(files)} modules", flush=True)
    ends: list[tuple[str, Mutant, str]] = []
    for file, mutant in drawn:
        if time.monotonic() > end:
            break
        what = _end_of(file, mutant, reached)
        ends.append((file, mutant, what))
        if what in UNNOTICED:
            print(f"{file}:{mutant.line}: {what}: {mutant.before}  →  {mutant.after}", flush=True)
    _report(ends, len(drawn))
    return 0


def _files(pattern: str) -> Iterator[str]:
    found = ROOT / pattern
    paths = found.rglob("*.py") if found.is_dir() else ROOT.glob(pattern)
    return (str(path.relative_to(ROOT)) for path in paths)


def _drawn(files: Sequence[str], seed: int) -> list[tuple[str, Mutant]]:
    """All mutants, in an order in which any beginning has the same share of every module."""
    draw = random.Random(seed)  # noqa: S311 - reproducible on purpose
    places: list[tuple[float, str, Mutant]] = []
    for file in files:
        mutants = mutants_of((ROOT / file).read_text())
        draw.shuffle(mutants)
        places += ((n / len(mutants), file, mutant) for n, mutant in enumerate(mutants))
    return [(file, mutant) for _, file, mutant in sorted(places, key=lambda place: place[:2])]


# ---- what the tests reach


class _Watch:
    """A pytest plugin that informs coverage of the test that runs, and takes its time."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measured.switch_context(item.nodeid)
        begin = time.monotonic()
        yield
        self.seconds[item.nodeid] = time.monotonic() - begin
        self._measured.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def _learned(file: Path | None) -> Reached:
    if file and file.exists():
        data = file.read_bytes()
    else:
        data = _in_child(_learn)
        if file:
            file.write_bytes(data)
    found: Reached = pickle.loads(data)  # noqa: S301 - from our own child
    return found


def _learn() -> Reached:
    measured = coverage.Coverage(data_file=None, config_file=False, include=[str(ROOT / "cachetune/*")])
    watch = _Watch(measured)
    measured.start()
    tests = [test for test in TESTS if (ROOT / test).exists()]
    pytest.main([*(o for o in OPTIONS if o != "-x"), *tests], plugins=[watch])
    measured.stop()
    data = measured.get_data()
    sound = {name for name, seconds in watch.seconds.items() if seconds <= LONGEST} - set(watch.failed)
    found: dict[str, dict[int, tuple[str, ...]]] = {}
    for file in data.measured_files():
        lines = data.contexts_by_lineno(file)
        found[str(Path(file).relative_to(ROOT))] = {
            line: tuple(sorted(sound.intersection(names))) for line, names in lines.items()
        }
    return Reached(found, watch.seconds)


# ---- one mutant


class _Loader(importlib.abc.InspectLoader):
    """Loads one module from a changed tree."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self._file, self._tree = file, tree

    def get_source(self, fullname: str) -> None:
        raise ImportError(f"{fullname} has no source")

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002 - the only module that it loads
        return compile(self._tree, str(ROOT / self._file), "exec")

    def is_package(self, fullname: str) -> bool:  # noqa: ARG002
        return self._file.endswith("__init__.py")


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutated module; everything else is found as usual."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        self._path, self._loader = str(ROOT / file), _Loader(file, tree)

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = importlib.machinery.ModuleSpec(fullname, self._loader, origin=self._path)
        spec.has_location = True
        if self._loader.is_package(fullname):
            spec.submodule_search_locations = [str(Path(self._path).parent)]
        return spec


def _end_of(file: str, mutant: Mutant, reached: Reached) -> str:
    """What came of a mutant: "failed" or "endless" if the tests noticed, "survived", or "unreached" by any test."""
    tests = reached.of(file, mutant.line)
    if not tests:
        return "unreached"
    limit = int(5 + SLOWDOWN * sum(reached.seconds[name] for name in tests))
    pid = os.fork()
    if pid == 0:
        _run_tests(file, mutant, tests, limit)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return "survived" if status == 0 else NOTICED.get(status, "failed")


def _run_tests(file: str, mutant: Mutant, tests: Sequence[str], limit: int) -> None:
    status = 70
    try:
        signal.alarm(limit)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nowhere, fd)
        finder = _Finder(file, mutant.tree((ROOT / file).read_text()))
        sys.meta_path.insert(0, finder)
        importlib.import_module(finder.name)  # before pytest's own finder, which comes first, rewrites it
        status = int(pytest.main([*OPTIONS, *tests]))
    finally:
        os._exit(status)


def _in_child(function: Callable[[], object]) -> bytes:
    """The pickled result of a function that runs in a child, so that nothing it imports stays here."""
    with tempfile.TemporaryFile() as file:
        pid = os.fork()
        if pid == 0:
            try:
                pickle.dump(function(), file)
                file.flush()
            except BaseException:  # noqa: BLE001 - whatever it is, the parent must not run on in the child
                traceback.print_exc()
            os._exit(0)
        os.waitpid(pid, 0)
        file.seek(0)
        return file.read()


# ---- the result


def _report(ends: Sequence[tuple[str, Mutant, str]], drawn: int) -> None:
    packages: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for file, _, what in ends:
        packages[str(Path(file).parent) if "domain" not in file else "cachetune/domain"][what] += 1
    print(f"{'package':34} mutants noticed survived unreached score")
    total: collections.Counter[str] = collections.Counter()
    for name, counts in sorted(packages.items()):
        total += counts
        print(_row(name, counts))
    print(_row(f"all ({len(ends)} of {drawn} tried)", total), flush=True)


def _row(name: str, counts: collections.Counter[str]) -> str:
    number = sum(counts.values())
    noticed = counts["failed"] + counts["endless"]
    share = f"{100 * noticed / number:.1f} %" if number else "-"
    return f"{name:34} {number:7} {noticed:7} {counts['survived']:8} {counts['unreached']:9} {share}"


def _preload() -> None:
    """Import what every child needs, but nothing of ours."""
    import click  # noqa: F401
    import hypothesis.strategies  # noqa: F401
    import lxml.etree  # noqa: F401
    import msgspec  # noqa: F401
    import pyfakefs.fake_filesystem  # noqa: F401
    import rich.console  # noqa: F401
    import xmlschema  # noqa: F401


if __name__ == "__main__":
    _preload()
    sys.exit(main())
