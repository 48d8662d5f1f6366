"""crypto (one_for_one): keys, devices and sessions."""
