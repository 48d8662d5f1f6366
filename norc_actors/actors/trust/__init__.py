"""trust (rest_for_one): what this server is to others, and they to it."""
