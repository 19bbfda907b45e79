"""Which snapshots count, and what hosts are called."""

from cachetune.fleet.snapshots import Snapshot, counted


def test_of_several_snapshots_of_a_host_the_newest_counts() -> None:
    found = counted([Snapshot("a.json", "n1", 5), Snapshot("b.json", "n1", 9), Snapshot("c.json", "n1", 7)])
    assert found.names == {"b.json": "n1"}
    assert found.older == {"b.json": ("a.json", "c.json")}


def test_of_equally_new_snapshots_the_first_counts() -> None:
    assert counted([Snapshot("b.json", "n1", 5), Snapshot("a.json", "n1", 5)]).names == {"b.json": "n1"}


def test_a_host_without_a_name_is_called_like_its_file() -> None:
    found = counted(
        [Snapshot("racks/n7.json", "", None), Snapshot("sim:milan", "", None), Snapshot("<stdin>", "", None)]
    )
    assert found.names == {"racks/n7.json": "n7", "sim:milan": "sim:milan", "<stdin>": "<stdin>"}


def test_files_without_a_name_are_different_hosts_with_separate_names() -> None:
    found = counted([Snapshot("a/n.json", "", None), Snapshot("b/n.json", "", None), Snapshot("c/m.json", "", None),
                     Snapshot("d.json", "m", 1)])  # fmt: skip
    assert found.names == {"a/n.json": "a/n.json", "b/n.json": "b/n.json", "c/m.json": "c/m.json", "d.json": "m"}
    assert not found.older
