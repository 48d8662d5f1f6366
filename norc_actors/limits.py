"""Every size, rate and window of the project, by name, with its unit and its source.

One section per part; a number that limits something stands nowhere else.
"""

# --- Values and frames (section 1, section 3) ---
MAX_DEPTH = 16
MAX_ENTRIES = 4096
MAX_INTEGER = 2**53 - 1
MIN_MAX_FRAME = 64 * 1024
DEFAULT_MAX_FRAME = 1024 * 1024

# --- Connection (section 4) ---
HANDSHAKE_SECONDS = 10.0
PING_SECONDS = 30.0
DEAD_PEER_SECONDS = 60.0
AUTH_SKEW_SECONDS = 5
CHALLENGE_SECONDS = 60

# --- End to end (sections 5, 6) ---

# --- Delivery (section 7) and rates (section 10) ---

# --- Store ---
STORE_BUSY_SECONDS = 5.0  # how long a writer waits for another process's lock
STORE_CHECKPOINT_PAGES = 4000  # 16 MiB of write-ahead log between checkpoints
STORE_JOURNAL_BYTES = 64 * 1024 * 1024
RETENTION_SECONDS = 30 * 86400  # section 6, D-11: undelivered messages, dedupe rows, receipts
OLD_RECORD_SECONDS = 37 * 86400  # section 5, Rotation
HANDOUT_SECONDS = 86400  # section 5, Prekeys: one one-time key per requester, target and day

# --- Client ---

# --- Node and supervision tree ---
