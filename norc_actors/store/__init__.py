"""Tables, queries and migrations (SQLAlchemy, Alembic); blocking, run by its owners in threads."""
