"""Do: the only writer. A ``Plan`` goes in, a ``Report`` comes out; on failure everything is put back.

One run at a time holds the lock on the resctrl directory; a journal says what it has begun, so that ``recover`` can
undo what a killed run left; a ledger says which groups are ours and how far the default group was shrunk.
"""
