"""The live view, driven by keys as Textual's pilot presses them; what it shows is compared as text."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from cachetune.cli.top.app import Rows, TopApp
from cachetune.cli.top.view import View
from cachetune.cli.top.watch import Failed, Looked, Watch
from cachetune.errors import NotMountedError
from cachetune.service.looks import Look
from tests.cli.top import screens
from tests.cli.top.scenes import NOON, WAY, every_state, host, look, reading
from tests.waiting import STALL_SECONDS

if TYPE_CHECKING:
    from textual.pilot import Pilot

NORMAL = View()
Steps = Callable[["Pilot[None]", TopApp], Awaitable[None]]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock on the screen is that of no place."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def drive(steps: Steps, size: tuple[int, int] = (80, 24), first: Look | None = None, view: View = NORMAL) -> TopApp:
    """Run the view on a screen of this size, with the first look at 1000 s and another one a second later."""
    seen = first or every_state()
    app = TopApp(lambda: seen, seen, 1000.0, view, 3600.0)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            app.post_message(Looked(every_state(0.5, NOON + 1) if first is None else seen, 1001.0))
            await pilot.pause()
            await steps(pilot, app)

    asyncio.run(run())
    return app


def after(*keys: str, size: tuple[int, int] = (80, 24), first: Look | None = None) -> list[str]:
    """What is shown after these keys."""
    shown: list[str] = []

    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        await pilot.press(*keys)
        await pilot.pause()
        shown.extend(screens.screen_of(app))

    drive(steps, size, first)
    return shown


def names(lines: list[str]) -> list[str]:
    """The first words of the table's rows."""
    begin = next(i for i, line in enumerate(lines) if "GUEST" in line) + 1
    rows = [line[3:20].strip(" ▸▾…") for line in lines[begin:-2]]
    return [row for row in rows if row]


@pytest.mark.parametrize(
    ("name", "size", "keys"),
    [
        ("start", (80, 24), ()),
        ("start", (200, 60), ()),
        ("unfolded", (200, 60), ("e",)),
        ("per-cache", (80, 24), ("c", "down", "enter")),
        ("help", (80, 24), ("question_mark",)),
        ("ways", (80, 24), ("w",)),
    ],
)
def test_a_screen_looks_as_it_did(name: str, size: tuple[int, int], keys: tuple[str, ...]) -> None:
    screens.check(f"app-{name}-{size[0]}x{size[1]}", after(*keys, size=size))


def test_s_sorts_by_the_next_column_and_r_reverses() -> None:
    assert names(after()) == ["db", "web", "default group", "[bold]evil[/]", "COS1", "mail"]
    assert names(after("s", "s", "s", "s")) == ["[bold]evil[/]", "COS1", "db", "default group", "mail", "web"]
    assert names(after("s", "s", "s", "s", "r")) == ["web", "mail", "default group", "db", "COS1", "[bold]evil[/]"]


def test_enter_unfolds_the_selected_row_and_folds_it_again() -> None:
    assert names(after("down", "enter")) == [
        *("db", "web", "vCPUs 0-1", "default group", "[bold]evil[/]", "COS1", "mail"),
    ]
    assert "vCPUs 0-1" not in names(after("down", "enter", "enter"))
    assert "vCPUs 0-1" in names(after("down", "right", "right"))
    assert "vCPUs 0-1" not in names(after("down", "right", "left"))


def test_a_filter_is_typed_and_escape_ends_it() -> None:
    assert names(after("slash", "w", "e", "b")) == ["web"]
    assert names(after("slash", "w", "e", "b", "enter")) == ["web"]
    assert len(names(after("slash", "w", "e", "b", "enter", "escape"))) == 6
    assert "no guest or group matches 'zz'" in "".join(after("slash", "z", "z", "enter"))


def test_the_selected_row_stays_selected_wherever_it_moves() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        rows = app.query_one(Rows)
        await pilot.press("down")
        assert rows.selected
        assert rows.selected.name == "web"
        await pilot.press("s", "s", "s", "s")
        assert rows.selected.name == "web"
        app.post_message(Looked(every_state(9.0), 1002.0))
        await pilot.pause()
        assert rows.selected.name == "web"

    drive(steps)


def test_the_selection_moves_on_if_its_row_is_removed() -> None:
    of = host({"cachetune-a-vcpus_0": (1, 1), "cachetune-b-vcpus_0": (2, 2)})
    both = [reading(of, f"cachetune-{name}-vcpus_0", (n, 1, 1), (n, 1, 1), guest=name) for n, name in enumerate("ab")]

    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        rows = app.query_one(Rows)
        await pilot.press("end")
        assert rows.selected
        assert rows.selected.name == "a"
        app.post_message(Looked(look(of, both[1:]), 1002.0))
        await pilot.pause()
        assert rows.selected.name == "b"
        app.post_message(Looked(look(of, []), 1003.0))
        await pilot.pause()
        assert rows.selected is None
        assert "no groups with counters" in "".join(screens.screen_of(app))
        await pilot.press("enter", "down", "e", "c", "w", "escape")

    drive(steps, first=look(of, both))


def test_it_scrolls_so_that_the_selected_row_is_always_seen() -> None:
    of = host({"cachetune-g-vcpus_0": ()})
    many = [reading(of, "cachetune-g-vcpus_0", (n, 1, 1), guest=f"g{n:03}") for n in range(500)]

    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        for keys in (("end",), ("pageup",), ("up",) * 3, ("home",), ("pagedown",) * 2):
            await pilot.press(*keys)
            await pilot.pause()
            selected = app.query_one(Rows).selected
            assert selected
            assert selected.name in names(screens.screen_of(app)), keys

    drive(steps, first=look(of, many), view=View(order="name"))


def test_a_click_selects_a_row_and_another_one_unfolds_it() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        await pilot.click(Rows, offset=(5, 1))
        selected = app.query_one(Rows).selected
        assert selected
        assert selected.name == "web"
        await pilot.click(Rows, offset=(5, 1))
        assert "vCPUs 0-1" in names(screens.screen_of(app))

    drive(steps)


def test_c_gives_each_cache_a_row_and_e_unfolds_all() -> None:
    assert [line.split()[2:4] for line in after("c") if " web " in line] == [["web", "0"], ["web", "1"]]
    assert "mon vCPU 0" in names(after("e", size=(80, 60)))


def test_an_error_is_shown_until_the_next_look_succeeds_and_the_last_rows_stay() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        app.post_message(Failed("/sys/fs/resctrl: not mounted [bold]\x1b[2J"))
        await pilot.pause()
        shown = screens.screen_of(app)
        assert any("/sys/fs/resctrl: not mounted [bold]\\x1b[2J" in line for line in shown)
        assert "web" in names(shown)
        app.post_message(Looked(every_state(), 1003.0))
        await pilot.pause()
        assert "not mounted" not in "".join(screens.screen_of(app))

    drive(steps)


def test_it_fits_any_terminal_and_follows_its_size() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        for size in ((200, 60), (40, 10), (10, 3), (1, 1), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            shown = screens.screen_of(app)
            assert len(shown) == size[1]
        assert shown[0].startswith("cachetune top")
        assert "web" in names(shown)

    drive(steps)


def test_q_ends_it_also_while_a_look_never_ends() -> None:
    stuck, asked = threading.Event(), threading.Event()

    def never() -> Look:
        asked.set()
        stuck.wait()
        return every_state()

    app = TopApp(never, every_state(), 1000.0, View(), 0.01)

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            assert await asyncio.to_thread(asked.wait, STALL_SECONDS)
            await pilot.press("e")
            await pilot.pause()
            assert "vCPUs 0-1" in names(screens.screen_of(app))
            await pilot.press("q")
        assert app.return_code == 0

    try:
        asyncio.run(run())
    finally:
        stuck.set()


class Reports:
    """A host that is looked at, and what the thread has reported."""

    def __init__(self, *answers: Look | Exception) -> None:
        self.answers, self.reports = list(answers), []  # type: ignore[var-annotated]
        self.enough = threading.Event()

    def look(self) -> Look:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def report(self, message: object) -> None:
        self.reports.append(message)
        if not self.answers:
            self.enough.set()


def test_errors_are_reported_and_looking_goes_on() -> None:
    failures = (
        NotMountedError("/sys/fs/resctrl", "not mounted"),
        OSError(5, "input/output error"),
        ValueError("a bug"),
    )
    host_ = Reports(*failures, every_state())
    thread = Watch(host_.look, host_.report, 0.01)
    thread.start()
    assert host_.enough.wait(STALL_SECONDS)
    thread.end()
    thread.join(STALL_SECONDS)
    texts = [message.error for message in host_.reports if isinstance(message, Failed)]
    assert [text.split(":")[0] for text in texts] == ["/sys/fs/resctrl", "input/output error", "ValueError"]
    assert isinstance(host_.reports[-1], Looked)


def test_while_it_is_paused_nothing_is_read() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        await pilot.press("p")
        await pilot.pause()
        assert "PAUSED" in screens.screen_of(app)[0]
        assert app._watch.paused
        await pilot.press("p")
        assert not app._watch.paused

    drive(steps)


def test_the_interval_has_steps_and_never_gets_under_a_tenth_of_a_second() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        found = []
        for key in (*["plus"] * 2, *["minus"] * 12):
            await pilot.press(key)
            found.append(app._watch.interval)
        assert found[:2] == [3600.0, 3600.0]
        assert found[2:] == [60.0, 30.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1]
        app._watch.change(interval=3600.0, paused=True)

    drive(steps, first=look(host({"COS1": (1, 1)}), []))


def test_a_pause_and_a_new_interval_do_not_bring_a_look_forward() -> None:
    host_ = Reports()
    thread = Watch(host_.look, host_.report, 3600.0)
    thread.start()
    for paused in (True, False, True, False):
        thread.change(interval=1800.0, paused=paused)
    thread.end()
    thread.join(STALL_SECONDS)
    assert not thread.is_alive()
    assert host_.reports == []


def test_only_the_name_of_the_selected_row_is_reversed_for_a_reversed_bar_looks_like_its_opposite() -> None:
    async def steps(pilot: "Pilot[None]", app: TopApp) -> None:
        await pilot.press("down", "down", "down")
        await pilot.pause()
        (strip,) = (strip for strip in app.screen._compositor.render_strips() if "[bold]" in strip.text)
        reversed_ = "".join(part.text for part in strip if part.style and part.style.reverse)
        assert reversed_.strip() == "C  ▸ [bold]evil[/]…"

    drive(steps)


def test_a_guest_without_ways_known_has_no_bar() -> None:
    of = host({"COS1": (1, 1)})
    shown = after(first=look(of, [reading(of, "COS1", (WAY, 1, 1))]))
    assert names(shown) == ["COS1"]
