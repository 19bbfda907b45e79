"""Cache and memory-bandwidth allocation for libvirt guests through the kernel's resctrl.

The way of the data: domain XML (``cachetune.domain``) and a host (``cachetune.host``) and a running guest
(``cachetune.guests``) go into a plan (``cachetune.plan``); the plan is carried out (``cachetune.apply``) and its
counters are read back (``cachetune.watch``). ``cachetune.sim`` is a resctrl that needs no hardware.
"""

__version__ = "0.1.0"
