"""Read the parts of an Examination, one module for each area. Nothing here raises: what cannot be read is Unknown."""
