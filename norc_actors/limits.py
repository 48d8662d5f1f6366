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
RECORD_SECONDS = 180 * 86400  # a device record lives this long …
RECORD_RENEW_SECONDS = 7 * 86400  # … and is renewed at least this long before its end
KEY_OVERLAP_SECONDS = 7 * 86400  # after a rotation both keys verify, only the new one signs
RECORD_SKEW_SECONDS = 300  # how far the clocks of device and server may differ when a record's time is judged
REVOCATION_KEPT_SECONDS = 30 * 86400  # beyond the record's not_after
ENROLMENT_HOLD_SECONDS = 600  # a further device waits for its approval
MAX_POW_DIFFICULTY = 28  # leading zero bits
BUNDLE_SECONDS = 30 * 86400
BUNDLE_RENEW_SECONDS = 86400
PREKEY_DRAIN_SECONDS = 86400  # old private prekeys are kept this long after the device's queue has drained
MAX_ONE_TIME_BATCH = 100
SESSION_MESSAGES = 1000
SESSION_SECONDS = 86400
SESSION_KEPT_SECONDS = 30 * 86400  # receiving state and skipped keys, after expires_at
MAX_SKIPPED_KEYS = 1000
FIRST_SEQUENCE_LIMIT = 2**24  # a chain and a sealed direction start below this, at random
GAP_HOLD_SECONDS = 2.0
FRESHNESS_SECONDS = 300
MESSAGE_MAX_AGE_SECONDS = 30 * 86400
WINDOW_MESSAGES = 1024
FEDERATION_WINDOW_MESSAGES = 4096
DEFAULT_MAX_MEMBERS = 100

# --- Delivery (section 7) and rates (section 10) ---

# --- Store ---
STORE_BUSY_SECONDS = 5.0  # how long a writer waits for another process's lock
STORE_CHECKPOINT_PAGES = 4000  # 16 MiB of write-ahead log between checkpoints
STORE_JOURNAL_BYTES = 64 * 1024 * 1024
RETENTION_SECONDS = 30 * 86400  # section 6, D-11: undelivered messages, dedupe rows, receipts
OLD_RECORD_SECONDS = 37 * 86400  # section 5, Rotation
PURGE_ROWS = 1000  # per table and call, so that a purge never holds up a commit
HANDOUT_SECONDS = 86400  # section 5, Prekeys: one one-time key per requester, target and day

# --- Client ---
PROFILE_CACHE_RECORDS = 4096
COMMIT_GROUP = 256
COMMIT_QUEUE = 512

# --- Node and supervision tree ---
