"""Planning: from domains, a host and guests to a ``Plan``. Pure functions that read no file and change nothing."""

from cachetune.errors import PlanRefusedError
from cachetune.plan.build import check, plan, plan_guests
from cachetune.plan.groups.names import machine_name, machine_name_of
from cachetune.plan.model import Plan
from cachetune.plan.removal import plan_removal
from cachetune.plan.request import GuestRequest, Options

__all__ = [
    "GuestRequest",
    "Options",
    "Plan",
    "PlanRefusedError",
    "check",
    "machine_name",
    "machine_name_of",
    "plan",
    "plan_guests",
    "plan_removal",
]
