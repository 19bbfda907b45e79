"""Random lives of guests whose hook, libvirt, agent and ``recover`` come and go and are killed.

All of an episode follows from a seed. No two groups share ways at any moment, and when all guests have ended, the host
is as it was found.
"""

import dataclasses
import random
from pathlib import Path

from cachetune.apply.settle import settle
from cachetune.errors import ApplyRefusedError
from tests.apply.dying import until_death
from tests.hook.site import GUESTS, Site

EVENTS = 30


@dataclasses.dataclass
class Counts:
    """What happened in one episode or in many."""

    calls: int = 0
    deaths: int = 0
    deaths_of_recover: int = 0
    canceled: int = 0
    starts: int = 0
    refused: int = 0

    def add(self, other: "Counts") -> None:
        """Add the counts of another."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


def episode(seed: str, directory: Path) -> Counts:
    """Play one episode. Raises AssertionError with the seed when an invariant does not hold."""
    with Site(directory).here() as site:
        lives = Lives(site, random.Random(seed))  # noqa: S311 - reproducible on purpose
        try:
            lives.play()
        except Exception as error:
            raise AssertionError(f"episode {seed!r}, event {lives.event}: {error!r}") from error
    return lives.counts


class Lives:
    """The guests of a site, and the generator that decides what happens to them."""

    def __init__(self, site: Site, draw: random.Random) -> None:
        self._site, self._draw = site, draw
        self.counts, self.event = Counts(), 0

    def play(self) -> None:
        """All events, then the end of all guests."""
        site = self._site
        for self.event in range(EVENTS):
            self._guest() if self._draw.random() < 0.75 else self._others()
            assert site.overlaps() == []
        site.recover()
        for name in GUESTS:
            site.ends(name)
            site.hook("release", name)
        site.seconds += 61
        site.recover()
        assert site.left() == []

    def _guest(self) -> None:
        """One guest starts, or runs on, or ends."""
        name, site = self._draw.choice(list(GUESTS)), self._site
        if not site.is_running(name):
            self._start(name)
        elif self._draw.random() < 0.3:
            self._call("reconnect", name)
        else:
            site.ends(name)
            self._call("release", name)

    def _start(self, name: str) -> None:
        lived = self._call("prepare", name)
        if self._draw.random() < 0.3:  # libvirtd dies, or cancels the start and says so
            self.counts.canceled += 1
            if self._draw.random() < 0.5:
                self._call("release", name)
            return
        if not lived and self._draw.random() < 0.5:
            self._others()  # the start continues, but another program is faster
        if not self._site.appears(name):
            self.counts.refused += 1
            self._call("release", name)
            return
        self.counts.starts += 1
        self._call("started", name)

    def _others(self) -> None:
        """Time passes, an operator or the agent recovers, the agent settles."""
        what = self._draw.choice(["time", "recover", "recover", "agent"])
        match what:
            case "time":
                self._site.seconds += self._draw.choice([5, 40, 61])
            case "recover" if self._draw.random() < 0.7:
                self.counts.deaths_of_recover += until_death(
                    self._site.sim, self._site.run, self._site.recover, self._draw.randint(1, 10)
                )
            case "recover":
                self._site.recover()
            case _:
                try:
                    settle(self._site.connection)
                except ApplyRefusedError:
                    assert self._site.interrupted()

    def _call(self, operation: str, name: str) -> bool:
        """Call the hook; return whether it lived."""
        self.counts.calls += 1
        if self._draw.random() < 0.6:
            self._site.hook(operation, name)
            return True
        died = self._site.killed_hook(operation, name, self._draw.randint(1, 45))
        self.counts.deaths += died
        return not died
