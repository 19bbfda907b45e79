"""The Ansible collection cachetune.resctrl."""
