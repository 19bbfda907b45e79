"""Tests on a real kernel's resctrl in a virtual machine (``vm``): one boot per scenario, judged from outside."""
