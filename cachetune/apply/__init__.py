"""Carry plans out. This package is the only one that writes: a ``Plan`` becomes a ``Report``, and a failure is undone.

One run at a time holds the lock on the resctrl directory. A journal records each step before it is taken, so that
``recover`` can undo what a killed run left. A ledger records which groups are ours and how far the default group was
shrunk.
"""
