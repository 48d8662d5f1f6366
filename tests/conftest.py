"""What holds for every test."""

import signal

# A run in the background inherits an ignored SIGINT and would pass it on to every program that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
