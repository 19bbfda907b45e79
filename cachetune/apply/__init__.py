"""Carry plans out. This package is the only one that writes: a ``Plan`` becomes a ``Report``, and a failure is undone.

One run at a time holds the lock on the resctrl directory. A journal records each step before it is taken, so that
``recover`` can undo what a killed run left. A ledger records which groups are ours and how far the default group was
shrunk.

``run`` carries a plan out and ``recover`` finishes or undoes a killed run. ``guard`` decides whether a plan is allowed,
``guard_files`` does so for its writes to single files, and ``steps`` takes and undoes one step.
"""
