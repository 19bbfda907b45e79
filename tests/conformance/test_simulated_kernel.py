"""The simulated kernel answers as the recorded real kernels did; no virtual machine is needed."""

import dataclasses
from typing import Any

import pytest

from tests.conformance import page
from tests.conformance.answers import Answer, Record, differences, load, save
from tests.conformance.configurations import CONFIGURATIONS, GOLDEN, Configuration
from tests.conformance.on_files import Files, perform
from tests.conformance.on_simulator import Simulator
from tests.conformance.operations import ONLY_FILES, PARTS

pytestmark = pytest.mark.slow

MUST_BE_AMONG = {
    "mkdir",
    "rmdir",
    "rename",
    "read",
    "list",
    "write",
    "append",
    "chmod",
    "lock",
    "fork",
    "thread",
    "kill",
}


@pytest.fixture(params=CONFIGURATIONS)
def configuration(request: pytest.FixtureRequest) -> Configuration:
    return CONFIGURATIONS[request.param]


def test_the_simulated_kernel_answers_every_operation_as_the_real_one_did(configuration: Configuration) -> None:
    record = load(configuration.golden)
    assert differences(record, *Simulator(configuration).answers(record.operations)) == []


def test_the_records_have_the_listed_operations_and_the_seeds_sequence(configuration: Configuration) -> None:
    record = load(configuration.golden)
    assert record.operations == configuration.operations()
    assert record.release.startswith(f"{configuration.kernel}.")


def test_each_configuration_has_a_record_and_there_are_no_others() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {each.golden.name for each in CONFIGURATIONS.values()}


def test_every_listed_operation_and_every_kind_is_used() -> None:
    assert {part for each in CONFIGURATIONS.values() for part in each.parts} == set(PARTS)
    kinds = {operation[0] for each in CONFIGURATIONS.values() for operation in each.listed()}
    assert kinds >= MUST_BE_AMONG | set(ONLY_FILES)


def test_the_listed_operations_restore_the_initial_state() -> None:
    configuration = dataclasses.replace(CONFIGURATIONS["6.12-plain"], length=0)
    simulator = Simulator(configuration)
    first, answers = simulator.answers(configuration.operations())
    last = first | {path: text for answer in answers for path, text in answer.changes.items() if text is not None}
    gone = {path for answer in answers for path, text in answer.changes.items() if text is None}
    now = simulator.tree()
    moving = {"info/L3_MON/max_threshold_occupancy", "tasks"}
    assert {path for path in now if now[path] != first.get(path)} <= moving
    assert now.keys() == first.keys()
    assert last.keys() - gone <= first.keys()


def test_a_seed_determines_the_operations() -> None:
    configuration = CONFIGURATIONS["6.12-cdp"]
    assert configuration.random(7) == configuration.random(7)
    assert configuration.random(7) != configuration.random(8)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("result", "EIO", "EIO became ok"),
        ("last_cmd_status", "other\n", "says 'other\\n' became"),
        ("changes", {}, "'(as before)' became"),
        ("changes", {"absent": None}, "absent: None became '(as before)'"),
    ],
)
def test_a_difference_in_any_answer_is_detected(field: str, value: object, said: str) -> None:
    configuration = CONFIGURATIONS["6.12-debug"]
    record = load(configuration.golden)
    assert record.operations[0][0] == "mkdir"
    changed: dict[str, Any] = {field: value}
    other = record._replace(answers=[record.answers[0]._replace(**changed), *record.answers[1:]])
    (line,) = differences(other, *Simulator(configuration).answers(record.operations))
    assert said in line


def test_a_difference_in_the_initial_tree_is_detected() -> None:
    configuration = CONFIGURATIONS["6.12-few-rmids"]
    record = load(configuration.golden)
    changed = record._replace(first=record.first | {"mode": "644 exclusive\n"})
    (line,) = differences(changed, *Simulator(configuration).answers(record.operations))
    assert line == "at first: mode: '644 exclusive\\n' became '644 shareable\\n'"


def test_a_record_round_trips_with_any_names(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("golden") / "some.json.gz"
    record = Record("6.1", {"mode": "644 x"}, [("mkdir", "\udcff")], [Answer("ok", "ok\n", {"\udcff/": "755"})])
    save(record, path)
    assert load(path) == record


def test_operations_on_files_are_recorded_with_errnos_and_changes(tmp_path_factory: pytest.TempPathFactory) -> None:
    root = tmp_path_factory.mktemp("resctrl")
    (root / "info").mkdir()
    (root / "info" / "last_cmd_status").write_text("No task 20001\n")
    (root / "tasks").write_text("1\n20001\n")
    files = Files(str(root), {"W": 20001})
    operations = [("mkdir", "a"), ("mkdir", "a"), ("write", "tasks", "{W}\n9\n"), ("rmdir", "a"), ("read", "a/x")]
    first, answers = perform(files, operations)
    assert first["tasks"].endswith(" W")
    said = "No task {W}\n"
    assert [answer[:2] for answer in answers] == [
        ("ok", said),
        ("EEXIST", said),
        ("ok", said),
        ("ok", said),
        ("ENOENT", said),
    ]
    assert [list(answer[2]) for answer in answers] == [["a/"], [], [], ["a/"], []]
    assert answers[3][2] == {"a/": None}


def test_the_page_has_the_counts_of_what_is_recorded() -> None:
    text = page.PAGE.read_text()
    assert page.filled(text) == text
