"""storage (one_for_all): the only actors that touch the disk."""
