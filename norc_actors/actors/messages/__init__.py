"""messages (rest_for_one): what becomes of a message."""
