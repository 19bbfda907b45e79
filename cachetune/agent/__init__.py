"""The agent: keeps the allocations of running guests in place, round after round.

Each round observes tuning files, guests and host, decides without changing anything (``decide``), and carries out the
decisions through ``service``; nothing here writes to resctrl. The agent can be restarted at any time: all it remembers
between rounds can be observed again, except the last valid content of a tuning file that has become invalid.
"""
