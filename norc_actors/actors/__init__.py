"""The supervision tree of a node: a folder is a supervisor, a file is an actor; `tree.py` shows it whole."""
