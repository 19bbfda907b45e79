"""Decide: domains, a host and guests in, a ``Plan`` out. Pure functions: no file is read, nothing is changed."""

from cachetune.plan.build import Options, PlanRefusedError, Wish, check, plan, plan_guests
from cachetune.plan.groups.names import machine_name
from cachetune.plan.model import Plan
from cachetune.plan.removal import plan_removal

__all__ = [
    "Options",
    "Plan",
    "PlanRefusedError",
    "Wish",
    "check",
    "machine_name",
    "plan",
    "plan_guests",
    "plan_removal",
]
