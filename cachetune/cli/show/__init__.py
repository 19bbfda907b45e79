"""Renderers: each takes a value and prints it, or returns lines and tables (``table``) for ``console.show``."""
