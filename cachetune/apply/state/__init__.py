"""What a run keeps on disk: the journal, the ledger, and reservations for groups that libvirt creates."""
