"""What counts as an operation on resctrl, in lines as strace writes them."""

from pathlib import Path

import pytest

from cachetune.plan.steps import CreateGroup, MoveTasks, RemoveGroup, WriteSchemata
from tests.bench.operations import counted, least

ROOT = Path("/r")
LOCK = "7 flock(4</r>, LOCK_EX|LOCK_NB) = 0"
MKDIR = '7 mkdirat(6</r>, "g1", 0755) = 0'
UNLOCK = "7 close(4</r>) = 0"


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ('7 openat(3</r>, "schemata", O_RDONLY|O_CLOEXEC) = 5</r/schemata>', 1),
        ('7 openat(3</r>, "mon_groups", O_RDONLY|O_CLOEXEC|O_DIRECTORY) = 5</r/mon_groups>', 1),
        ('7 openat(3</r>, "absent", O_RDONLY) = -1 ENOENT (No such file or directory)', 1),
        ('7 openat(3</r>, "g1", O_RDONLY|O_PATH|O_DIRECTORY) = 7</r/g1>', 0),
        ('7 openat(7</r/g1>, "tasks", O_WRONLY|O_NOFOLLOW) = 6</r/g1/tasks>', 0),
        ('7 write(6</r/g1/tasks>, "1\\n", 2) = 2', 1),
        ('7 write(6</r/g1/tasks>, "1\\n", 2) = -1 ESRCH (No such process)', 1),
        ('7 unlinkat(6</r>, "g1", AT_REMOVEDIR) = 0', 1),
        ('7 newfstatat(3</r>, "g1", {st_mode=S_IFDIR|0755, st_size=0, ...}, AT_SYMLINK_NOFOLLOW) = 0', 1),
        ('7 newfstatat(6</r/g1>, "", {st_mode=S_IFDIR|0555, st_size=0, ...}, AT_EMPTY_PATH) = 0', 0),
        ("7 close(6</r/g1/tasks>) = 0", 0),
        ('7 write(6</run/journal>, "{}", 2) = 2', 0),
    ],
)
def test_a_line_of_strace_counts_once_if_it_asks_something_of_resctrl(line: str, counts: int) -> None:
    assert counted([LOCK, MKDIR, line, UNLOCK], ROOT) == [2 + counts]
    assert counted([line, LOCK, MKDIR, UNLOCK, line], ROOT) == [2]


def test_each_lock_begins_a_run_and_reading_before_its_first_change_is_left_out() -> None:
    read = '7 openat(3</r>, "schemata", O_RDONLY|O_CLOEXEC) = 5</r/schemata>'
    assert counted([LOCK, read, MKDIR, read, UNLOCK, LOCK, read, read, UNLOCK], ROOT) == [3, 1]


def test_the_least_is_the_lock_each_step_read_back_and_each_group_recorded() -> None:
    steps = [CreateGroup("g"), WriteSchemata("g", "", "L3:0=1\n"), MoveTasks("g", ".", (1, 2, 3))]
    assert least(steps, lists=True) == 1 + 2 + 2 + 1 + 4 + 4
    assert least(steps, lists=False) == 1 + 2 + 2 + 3 + 4 + 4
    with pytest.raises(ValueError, match="RemoveGroup"):
        least([RemoveGroup("g", "")], lists=True)
