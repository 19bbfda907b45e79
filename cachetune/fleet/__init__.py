"""The fleet: which of many hosts can take a guest. In: a domain and the hosts' snapshots; out: a ``Fit`` for each host.

Nothing here decides what fits: that is ``cachetune.plan``, on each host. No module reads a file or prints.
"""
