"""Decide: a domain, a host and a guest in, a ``Plan`` out. Pure functions: no file is read, nothing is changed."""

from cachetune.plan.build import Options, PlanRefusedError, check, plan
from cachetune.plan.model import Plan
from cachetune.plan.names import machine_name
from cachetune.plan.removal import plan_removal

__all__ = ["Options", "Plan", "PlanRefusedError", "check", "machine_name", "plan", "plan_removal"]
