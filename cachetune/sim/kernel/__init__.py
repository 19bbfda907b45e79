"""The simulated kernel: the rules of resctrl in Linux 6.1, 6.12, 6.18 and 7.3, as recorded from each.

``resctrl`` is the entry point and states the rules. ``nodes`` and ``tree`` are the directories and files; each file has
a module that knows its format and rules (``schemata``, ``tasks``, ``cpus``, ``modes``, ``info``, ``status``), and
``groups`` creates and removes groups. ``state`` holds all values; ``counters`` and ``rmids`` are the hardware behind
it.

A module here raises RefusedError with the kernel's errno and puts the kernel's own text into info/last_cmd_status. Only
``resctrl`` turns that into a ResctrlError. Nothing is sent to the real kernel.
"""
