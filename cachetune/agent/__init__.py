"""Keep: the wishes of guests.d and of live XML in, running guests that stay placed out, round after round.

Each round looks (files, guests, host), decides without touching anything (``decide``), and has ``apply`` carry out what
was decided; nothing here writes to resctrl itself. What it keeps between rounds it could also find out anew, but for
the last valid XML of a file that has become invalid.
"""
