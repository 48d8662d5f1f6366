"""federation (rest_for_one): the links to other organisations, and what travels on them."""
