"""What is given: a resctrl file system and sysfs in, a frozen ``Host`` out. Knows nothing of XML, changes nothing."""
