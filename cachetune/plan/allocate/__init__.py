"""Find out what fits on a host: sizes as ways, free ways, the target of a plan."""
