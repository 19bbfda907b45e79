"""The counters of groups: ``read_counters`` reads them as frozen values. It never writes.

What is computed from readings, such as rates, belongs here. What shows or serves them does not: which groups to read is
decided in ``service.readings``, and the output is made in ``cli``.
"""

from cachetune.watch.counters import read_counters
from cachetune.watch.model import Counter, Reading, Readings, unit_of
from cachetune.watch.partial import uncounted

__all__ = ["Counter", "Reading", "Readings", "read_counters", "uncounted", "unit_of"]
