"""A real libvirtd with a real QEMU over a simulated resctrl, in private namespaces; needs no KVM and no RDT."""
