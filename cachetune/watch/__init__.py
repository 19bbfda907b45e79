"""The counters of groups: ``read_counters`` reads them once, a ``Sampler`` again and again. It never writes.

What is computed from readings, such as rates, belongs here. What shows or serves them does not: which groups to read is
decided in ``service.readings``, and the output is made in ``cli``.
"""

from cachetune.watch.counters import read_counters
from cachetune.watch.model import Counter, Reading, Readings, unit_of
from cachetune.watch.partial import uncounted
from cachetune.watch.sampler import GroupSample, Sample, SampledGroup, Sampler, rated, rates

__all__ = [
    "Counter",
    "GroupSample",
    "Reading",
    "Readings",
    "Sample",
    "SampledGroup",
    "Sampler",
    "rated",
    "rates",
    "read_counters",
    "uncounted",
    "unit_of",
]
