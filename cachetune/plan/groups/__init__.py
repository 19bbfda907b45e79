"""The groups of a domain: their names, and which thread belongs where."""
