"""Programs that run inside the virtual machine: each does one scenario and prints one JSON document about it."""
