"""The counts in docs/explanation/conformance.md: ``record`` writes them, and a test checks them against the records."""

import collections
import re
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.answers import Record, load
from tests.conformance.configurations import CONFIGURATIONS, Configuration
from tests.conformance.on_mount import INSTEAD, not_carried
from tests.conformance.operations import ONLY_FILES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "conformance.md"
_PART = re.compile(
    r"^(<!-- (configurations|operations|only-files|mount) -->\n).*?(?=^<!-- end -->)", re.DOTALL | re.MULTILINE
)


NAMED = {
    *("schemata", "tasks", "cpus", "cpus_list", "mode", "max_threshold_occupancy", "mbm_L3_assignments"),
    *("mbm_assign_mode", "mbm_assign_on_mkdir", "event_filter", "mbm_total_bytes_config", "mbm_local_bytes_config"),
    *("io_alloc", "io_alloc_cbm"),
}
"""The files that have a row in the table of operations."""


def filled(text: str) -> str:
    """Return the page's text with its tables updated from the records."""
    records = {name: load(each.golden) for name, each in CONFIGURATIONS.items()}
    tables = {
        "configurations": _configurations(records),
        "operations": _operations(records),
        "only-files": _only_files(records),
        "mount": _mount(records),
    }
    return _PART.sub(lambda found: "\n".join([found[1], *tables[found[2]], "\n"]), text)


def _configurations(records: dict[str, Record]) -> Iterator[str]:
    yield "| configuration | what it is | kernels | listed | random | operations |"
    yield "| --- | --- | --- | ---: | ---: | ---: |"
    all_listed = all_chance = 0
    for same in _by_name().values():
        listed, chance = len(same[0].listed()), len(same[0].random())
        assert {listed + chance} == {len(records[f"{each.kernel}-{each.name}"].operations) for each in same}
        kernels = ", ".join(each.kernel for each in same)
        total = (listed + chance) * len(same)
        yield f"| {same[0].name} | {same[0].about} | {kernels} | {listed} | {chance} | {total} |"
        all_listed += listed * len(same)
        all_chance += chance * len(same)
    yield f"| all | {len(CONFIGURATIONS)} boots | | {all_listed} | {all_chance} | {all_listed + all_chance} |"
    yield ""
    releases = {record.release for record in records.values()}
    ordered = sorted(releases, key=lambda release: [int(number) for number in re.findall("[0-9]+", release)])
    yield "Recorded on " + ", ".join(f"Linux {release}" for release in ordered) + "."


def _by_name() -> dict[str, list[Configuration]]:
    """Return the configurations of each name, one for each kernel; they have the same operations."""
    found: dict[str, list[Configuration]] = {}
    for each in CONFIGURATIONS.values():
        found.setdefault(each.name, []).append(each)
    return found


def _operations(records: dict[str, Record]) -> Iterator[str]:
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for record in records.values():
        for (kind, *words), answer in zip(record.operations, record.answers, strict=True):
            name = words[0].rpartition("/")[2] if kind == "write" else ""
            found[f"write {name if name in NAMED else 'elsewhere'}" if kind == "write" else kind][answer.result] += 1
    yield "| operation | times | answers of the real kernels |"
    yield "| --- | ---: | --- |"
    for kind, results in sorted(found.items(), key=lambda item: (-item[1].total(), item[0])):
        yield f"| {kind} | {results.total()} | {_listed(results)} |"


def _only_files(records: dict[str, Record]) -> Iterator[str]:
    found: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    plain = [record for name, record in records.items() if CONFIGURATIONS[name].name in {"plain", "cdp"}]
    for record in plain:
        for operation, answer in zip(record.operations, record.answers, strict=True):
            found[operation[0]][answer.result] += 1
    yield "| operation | real kernels | why the simulator lacks it |"
    yield "| --- | --- | --- |"
    for kind, reason in ONLY_FILES.items():
        yield f"| {kind} | {', '.join(sorted(found[kind]))} | {reason} |"


def _mount(records: dict[str, Record]) -> Iterator[str]:
    counts = collections.Counter(kind for record in records.values() for kind in not_carried(record))
    yield "| operation | times | replacement | why |"
    yield "| --- | ---: | --- | --- |"
    for kind, (instead, reason) in INSTEAD.items():
        yield f"| {kind} | {counts[kind]} | {instead} | {reason} |"


def _listed(results: collections.Counter[str]) -> str:
    return ", ".join(f"{result} {count}" for result, count in sorted(results.items(), key=lambda i: (-i[1], i[0])))
