"""The word of the real planner on the guests of a host: all of them in one plan, and one after another in an order.

What it refuses becomes a ``Cut``: the smallest set of guests that it still refuses, so that the search excludes every
larger set as well. That holds for all guests of the same kinds, and for all hosts on which every plan is the same.
A guest that is refused alone is planned on every host at once.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from cachetune.errors import GroupConflictError, PlanRefusedError
from cachetune.fleet.assign.load import Cut
from cachetune.fleet.assign.problem import Problem
from cachetune.host.model import Host
from cachetune.plan.after import host_after
from cachetune.plan.build import plan_guests

_ORDERS = 12


class Accepted(NamedTuple):
    """The planner accepts the guests together, and one after another in ``order``, which leaves ``host``."""

    order: tuple[int, ...]
    host: Host


class Refused(NamedTuple):
    """The planner does not: ``why`` are the rules and messages of the first error, or a message without a rule.

    ``complete`` is False if they fit together, and only not one after another in any order that was tried.
    """

    rule: str
    why: str
    complete: bool = True


class Planner:
    """Asks the real planner, and remembers what it said."""

    def __init__(self, problem: Problem) -> None:
        self._problem, self._kind_of = problem, problem.kind_of
        self._known: dict[tuple[int, frozenset[int]], Accepted | Refused] = {}
        self._alone: set[int] = set()
        self.calls = 0

    def verdict(self, host: int, guests: Iterable[int]) -> Accepted | Refused:
        """What it says about these guests on a host."""
        key = host, frozenset(guests)
        if key not in self._known:
            self._known[key] = self._ask(host, self._hardest_first(host, key[1]))
        return self._known[key]

    def cuts(self, host: int, guests: Iterable[int]) -> list[Cut]:
        """What the search has to exclude, if these guests are refused."""
        core = self._core(host, frozenset(guests))
        if len(core) == 1:
            return list(self._cuts_alone(next(iter(core))))
        kinds = Counter(self._kind_of[guest] for guest in core)
        return [Cut(self._hosts_like(host), tuple(sorted(kinds.items())))]

    def _core(self, host: int, guests: frozenset[int]) -> frozenset[int]:
        """The guests without those that do not matter: without any one of the rest the host is accepted."""
        for guest in sorted(guests):
            fewer = guests - {guest}
            if fewer and isinstance(self.verdict(host, fewer), Refused):
                guests = fewer
        return guests

    def _cuts_alone(self, guest: int) -> Iterator[Cut]:
        kind = self._kind_of[guest]
        needs = self._problem.kinds[kind].needs
        refusing = (n for n, need in enumerate(needs) if need and isinstance(self.verdict(n, (guest,)), Refused))
        yield Cut(frozenset(refusing), ((kind, 1),))

    def _hosts_like(self, host: int) -> frozenset[int]:
        """The hosts on which every plan is the same; a guest with groups on one of them is of a separate kind."""
        alike = self._problem.alike
        return frozenset(n for n, first in enumerate(alike) if first == alike[host])

    def _hardest_first(self, host: int, guests: Iterable[int]) -> list[int]:
        """The largest group first, as it is the hardest to place; of equals the first guest."""

        def size(guest: int) -> tuple[int, int, int]:
            need = self._problem.kinds[self._kind_of[guest]].needs[host]
            widths = [width for _, each in need.ways for width in each] if need else []
            return -max(widths, default=0), -sum(widths), guest

        return sorted(guests, key=size)

    def _ask(self, host: int, guests: Sequence[int]) -> Accepted | Refused:
        now = self._problem.candidates[host].host
        together = self._plan(now, guests)
        if isinstance(together, Refused) or len(guests) <= 1:
            return together if isinstance(together, Refused) else Accepted(tuple(guests), together)
        refused = None
        for order in _orders(guests):
            after = self._in_turn(now, order)
            if isinstance(after, Host):
                return Accepted(tuple(order), after)
            refused = refused or after
        return Refused(refused.rule if refused else "", refused.why if refused else "", complete=False)

    def _in_turn(self, host: Host, order: Iterable[int]) -> Host | Refused:
        for guest in order:
            after = self._plan(host, [guest])
            if isinstance(after, Refused):
                return after
            host = after
        return host

    def _plan(self, host: Host, guests: Sequence[int]) -> Host | Refused:
        """The host after a plan for the guests."""
        self.calls += 1
        requests = [self._problem.guests[guest] for guest in guests]
        try:
            plan = plan_guests(requests, host, self._problem.options)
        except PlanRefusedError as refused:
            error = next(finding for finding in refused.findings if finding.severity == "error")
            return Refused(error.rule, error.message)
        except GroupConflictError as error:
            return Refused("", str(error))
        return host_after(host, plan.steps)


def _orders(guests: Sequence[int]) -> Iterator[Sequence[int]]:
    """Some orders: the hardest first, the reverse, and each guest first."""
    yield guests
    yield guests[::-1]
    for i in range(1, min(len(guests), _ORDERS)):
        yield [guests[i], *guests[:i], *guests[i + 1 :]]
