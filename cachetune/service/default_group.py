"""Planners for the default group: give it values, or those that it had at first."""

from collections.abc import Collection
from typing import NamedTuple

from cachetune.apply.run import Planner
from cachetune.host.model import Host
from cachetune.plan.default_group import (
    BandwidthAmount,
    CacheAmount,
    DefaultRequest,
    plan_default,
    plan_policy,
    plan_reset,
)
from cachetune.plan.policy import Policy
from cachetune.units import Rate, Rounding, Size


class SizeFor(NamedTuple):
    """A size for caches: ``ids`` None are all that the host has."""

    resource: str
    ids: tuple[int, ...] | None
    size: Size


class RateFor(NamedTuple):
    """A bandwidth for nodes: ``ids`` None are all that the host has."""

    resource: str
    ids: tuple[int, ...] | None
    rate: Rate


class DefaultValues(NamedTuple):
    """Values for the default group; of two for the same cache or node the later counts."""

    sizes: tuple[SizeFor, ...] = ()
    rates: tuple[RateFor, ...] = ()

    def on(self, host: Host) -> DefaultRequest:
        """The request on the host. What it does not have is requested with id 0, for the plan to refuse."""
        caches = {cache.name: cache.size_bytes for cache in host.caches}
        nodes = {bandwidth.name: bandwidth.ids for bandwidth in host.bandwidths}
        sizes = {(of, i): size for of, ids, size in self.sizes for i in _ids(ids, caches.get(of, ()))}
        rates = {(of, i): rate for of, ids, rate in self.rates for i in _ids(ids, nodes.get(of, ()))}
        return DefaultRequest(
            tuple(CacheAmount(of, i, size) for (of, i), size in sizes.items()),
            tuple(BandwidthAmount(of, i, rate) for (of, i), rate in rates.items()),
        )


def _ids(chosen: tuple[int, ...] | None, known: Collection[int]) -> Collection[int]:
    return (known or (0,)) if chosen is None else chosen


def default_planner(values: DefaultValues, rounding: Rounding | None = None, policy: Policy | None = None) -> Planner:
    """A planner that gives the default group these values: it is called with the host once the lock is held."""
    return lambda host, _ledger: plan_default(host, values.on(host), rounding, policy)


def policy_planner(policy: Policy) -> Planner:
    """A planner that gives the default group what the policy says."""
    return lambda host, _ledger: plan_policy(host, policy)


def reset_planner(policy: Policy | None = None) -> Planner:
    """A planner that gives the default group the values that the ledger remembers."""
    return lambda host, ledger: plan_reset(host, ledger.initial, ledger.initial_unit, policy)
