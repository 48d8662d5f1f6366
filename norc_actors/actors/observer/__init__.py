"""observer (one_for_one): the operator's view."""
