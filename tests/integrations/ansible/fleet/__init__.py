"""Hosts on this machine, each with its own resctrl and a real sshd, for tests of Ansible.

``hosts`` says what a host is, ``fleet`` starts and ends them, ``controller`` and ``node`` run inside.
"""
