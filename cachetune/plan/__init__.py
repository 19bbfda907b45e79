"""Decide: a domain, a host and a guest in, a ``Plan`` out. Pure functions: no file is read, nothing is changed."""
