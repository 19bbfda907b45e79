"""A real libvirtd with a real QEMU over a simulated resctrl, in namespaces of its own; needs no KVM and no RDT."""
