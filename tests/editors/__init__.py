"""Real editors, set up as docs/how-to/editors.md says."""
