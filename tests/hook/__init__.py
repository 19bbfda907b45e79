"""libvirt's qemu hook, called as libvirt calls it."""
