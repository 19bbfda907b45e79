"""The qemu hook, run as libvirt runs it."""
