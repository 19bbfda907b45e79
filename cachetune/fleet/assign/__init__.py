"""Which host of a fleet gets which guest, so that all of them have a place. In: guests and candidates; out: places.

``problem`` is what the guests need and the hosts have, in numbers. ``greedy`` and ``solve`` search in these numbers;
``confirm`` has the real planner plan every host that they propose, and what it refuses is excluded from the search.
``search`` is the loop around all four, and ``model`` the document that it makes.
"""
