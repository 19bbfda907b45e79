"""Observe: a resctrl file system and the groups to look at in, frozen readings out. Never writes."""

from cachetune.watch.counters import read_counters
from cachetune.watch.model import Counter, Reading, Readings

__all__ = ["Counter", "Reading", "Readings", "read_counters"]
