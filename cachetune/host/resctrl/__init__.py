"""The resctrl file system: the port, the real files behind it, the schemata text, and hints for refused operations."""
