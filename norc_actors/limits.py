"""Every size, rate and window of the project, by name, with its unit and its source.

One section per part; a number that limits something stands nowhere else.
"""

# --- Values and frames (section 1, section 3) ---
MAX_DEPTH = 16
MAX_ENTRIES = 4096
MAX_CONTAINERS = 16 * MAX_ENTRIES  # lists and maps in one message: an empty one is a byte, and 72 in memory
MAX_INTEGER = 2**53 - 1
MIN_MAX_FRAME = 64 * 1024
DEFAULT_MAX_FRAME = 1024 * 1024
MAX_VERSIONS = 16  # in one list
REMEMBERED_NAMES = 1024  # users, servers, versions whose grammar was checked last, of each grammar

# --- Connection (section 4) ---
HANDSHAKE_SECONDS = 10.0
PING_SECONDS = 30.0
DEAD_PEER_SECONDS = 60.0
AUTH_SKEW_SECONDS = 5
CHALLENGE_SECONDS = 60
FRAMES_PER_KEY = 1000  # the last of them at the latest renews the key
SEALED_FAILURES = 3  # frames in a row that do not open close the connection
DH_REKEY_SECONDS = 86400

CLOSE_SECONDS = 2.0  # for the peer's half of a close
ACCEPT_RETRY_SECONDS = 0.25  # out of file descriptors: wait so long before the next accept
LISTEN_BACKLOG = 1024

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
MAX_RECORD_BYTES = 1024  # encoded; so many that the entries of a key_response fit into the smallest frame …
MAX_BUNDLE_BYTES = 2048  # … that a client may ask for
MAX_ONE_TIME_BYTES = 512
MAX_USERS_PER_KEY_REQUEST = 100
SESSION_MESSAGES = 1000
SESSION_SECONDS = 86400
SESSION_KEPT_SECONDS = 30 * 86400  # receiving state and skipped keys, after expires_at
FIRST_SEQUENCE_LIMIT = 2**24  # a chain and a sealed direction start below this, at random
GAP_HOLD_SECONDS = 2.0
FRESHNESS_SECONDS = 300
MESSAGE_MAX_AGE_SECONDS = 30 * 86400
WINDOW_MESSAGES = 1024
FEDERATION_WINDOW_MESSAGES = 4096
DEFAULT_MAX_MEMBERS = 100

# --- Files and calls (section 6) ---
FILE_CHUNK_LEAST = 64 * 1024
FILE_CHUNK_MOST = 512 * 1024
CALL_EPOCH_SECONDS = 30.0  # a media key lives this long at the sender
CALL_EPOCHS_AHEAD = 1000
CALL_EPOCHS_KEPT = 2  # the newest that was heard, and the one before

# --- Federation (section 8) ---
DEFAULT_FEDERATION_FRAME = 20 * 1024 * 1024
BATCH_FRAMES = 256
BATCH_BYTES = 1024 * 1024  # of frames in one batch; a longer frame travels alone
BATCH_SKEW_SECONDS = 60
FRAMES_AHEAD = 32  # sealed frames of a link that wait for an earlier one …
FRAMES_AHEAD_SECONDS = 10.0  # … for so long
LINK_HANDSHAKE_SECONDS = 10.0
LINK_TICK_SECONDS = 1.0  # how often a link looks whether keys are due, or an answer was left out
LINK_OUTSTANDING = 16  # batches of one link that wait for their answers
LINK_BACKOFF_FIRST_SECONDS = 1.0
LINK_BACKOFF_MOST_SECONDS = 600.0
LINK_RESTARTS = 1000  # of all links in RESTART_PERIOD_SECONDS: each has a back-off, and a peer that is away is no fault
LINKS_PER_SOURCE = 64  # accepted links of one address
MAX_LINKS = 1000  # accepted links in all
BODY_OVERHEAD = 8192  # of a sealed batch over its frames, a re-key before it included
QUESTIONS_PER_PEER = 256  # that wait for a link
LOOKUP_SECONDS = 8.0  # for another server's answer about its users
HOME_SECONDS = 8.0  # for a conversation's home to take a state
INGRESS_SECONDS = 30.0  # for a batch's relays to be committed
REMOTE_LOOKUPS_PER_MINUTE = 600  # of users, per remote
BATCH_RELAYS = 64  # rows of the outbox in one batch
BATCHES_AHEAD = 4  # batches of one remote that wait for their answers
OUTBOX_READ = 128  # rows read at a time
OUTBOX_SWEEP_SECONDS = 60.0  # how often what waits is looked at for its time
RELAY_RETRY_SECONDS = 2.0  # after a refusal that may pass
QUOTA_RETRY_SECONDS = 3600
FEDERATION_MESSAGES_PER_SECOND = 17  # §6.16: 1000 a minute, unless the trust decision says otherwise …
FEDERATION_BANDWIDTH_MBPS = 3  # … and 100 MB in five minutes
RATE_WINDOW_SECONDS = 60  # a remote may use up so much of its rate at once
REROUTE_SECONDS = 10.0  # a direct link away for so long is replaced by a transit
RELAY_PARTITIONS = 4
ENDPOINTS_SECONDS = 3600.0  # DNS answers are kept for at most
ENDPOINTS_KEPT = 10_000
STANDINGS_CACHE = 10_000  # other servers whose standing a router or relay knows
HEALTH_SECONDS = 10.0
MAX_HOPS = 10
HOP_SKEW_SECONDS = 60
ORIGINAL_AGE_SECONDS = 86400
RELAY_CACHE_SECONDS = 86400 + 2 * 60  # as long as a relay could pass the checks of time again
RELAY_QUOTA = 1_000_000  # cached relays per remote; beyond, 5403
MAX_CERTIFICATE_CHAIN = 16  # X.509 certificates in one chain …
MAX_CERTIFICATE_BYTES = 64 * 1024  # … and the size of each
MAX_EXCHANGE_ENTRIES = 64  # challenges, conditions, attestations of one trust message

# --- HTTP/2 between servers (section 8) ---
CLIENT_HELLO_BYTES = 64 * 1024
HTTP2_STREAMS = 100  # requests at once on one connection
HTTP2_WINDOW_BYTES = 65535  # of every body, before its sender is given room for the rest
HTTP2_HEADER_BYTES = 8 * 1024  # of one header list, and of the frames that carry it
HTTP2_HEADER_FRAMES = 8  # that carry one header list
HTTP2_HEADER_TABLE_BYTES = 4096  # of our compression state, however much the peer offers
HTTP2_FRAME_BYTES = 16384  # of one frame, in both directions
HTTP2_SETTINGS = 32  # in one frame
HTTP2_WRITE_BYTES = 128 * 1024  # of frames in one write
HTTP2_LINE_BYTES = 2 * 1024 * 1024  # of answers that wait for their turn, before who answers is made to wait
HTTP2_REPLY_BYTES = 64 * 1024  # of frames that answer a peer which reads none of them
HTTP2_WASTE = 1000  # points for frames that carry nothing (net/http2_guard.py); beyond, the connection is closed …
HTTP2_WASTE_PER_SECOND = 100  # … and so many are forgiven
HTTP2_CLOSED_STREAMS = 1024  # whose ends are remembered, for frames that come late
HTTP2_STALL_SECONDS = 30.0  # a write, or a body apart from …
HTTP2_LEAST_BYTES_PER_SECOND = 32 * 1024  # … the time that it takes at this rate
HTTP2_CHECK_SECONDS = 5.0  # how often stalls and silence are looked for

# --- Finding servers (section 8) ---
DEFAULT_FEDERATION_PORT = 8843
DNS_SECONDS = 5.0  # one look-up, all tries together …
DNS_TRY_SECONDS = 1.5  # … and one of them
MAX_ENDPOINTS = 16  # of one server; of more, the first in order
MAX_TXT_RECORDS = 64  # that are read of one name
TCP_SECONDS = 5.0  # to connect to one endpoint, before the next is tried
# --- Trust (section 9) ---
DOMAIN_PROOF_SECONDS = 86400  # a DNS record proves a domain for so long after it was looked up
TRUST_SKEW_SECONDS = 60  # how far the clocks of two servers may differ
TRUST_CERTIFICATE_SECONDS = 90 * 86400  # a trust certificate lives this long …
TRUST_RENEW_SECONDS = 30 * 86400  # … and its renewal is asked for at least this long before its end
TRUST_MAX_AGE_SECONDS = 31_536_000  # after this, trust is established anew
CRL_FRESH_SECONDS = 300  # without a newer list of what a peer revoked, its relation is suspended
CRL_POLL_SECONDS = 60.0  # how often each peer is asked for its list
EXCHANGE_FRESH_SECONDS = 300  # how old the first two messages of a trust exchange may be
EXCHANGE_SECONDS = 30 * 86400  # an exchange nobody decided ends
CHALLENGE_SECONDS = 60  # to answer what a machine can answer …
CHALLENGE_DNS_SECONDS = 7 * 86400  # … and what needs a person to publish a DNS record
JUDGEMENTS = 256  # requests for trust that are judged at once
TRUST_DNS_SECONDS = 12.0  # for DNS to answer a look-up of trust, whatever the resolver makes of it
DNS_WATCH_SECONDS = 10.0  # between two looks for a record that an operator has to publish, at first …
DNS_WATCH_MOST_SECONDS = 300.0  # … and later
OPEN_EXCHANGES = 256  # that others have begun and nobody decided
ERRAND_SECONDS = 10.0  # for another server to answer what trust asks it …
ERRAND_BACKOFF_SECONDS = 60.0  # … before it is asked again, at most so much later
TRUST_EXCHANGE_KEPT_SECONDS = 90 * 86400  # an exchange that is over can be looked at for so long
TRUST_CERTIFICATE_KEPT_SECONDS = 366 * 86400  # a certificate, after its end
HEALTH_AHEAD_SECONDS = 30 * 86400  # what ends sooner is a risk
OPINION_SECONDS = 30 * 86400  # what a server thinks of another counts for so long
TRUST_HEALTH_SECONDS = 86400  # from one report of health to the next
RELIABLE_SECONDS = 90 * 86400  # a relation without trouble for so long is a reliable one
STATUS_SECONDS = 7 * 86400  # a CRL or OCSP response that does not say how long it is fresh is so for this long
STATUS_SKEW_SECONDS = 300  # how far it may begin in the future
MAX_CT_PROOFS = 16  # that are looked at
MAX_TRUST_HOPS = 5  # edges of a path of trust
TRUST_TICK_SECONDS = 60.0  # how often open exchanges are looked at
TRUST_MONITOR_SECONDS = 3600.0  # how often relations are looked at that have no deadline
TRUST_ASK_AGAIN_SECONDS = 86400  # a renewal that was not answered is asked for again
CRL_TICK_SECONDS = 10.0  # how often deadlines of lists and revocations are looked at
OWN_LIST_SECONDS = 10.0  # an own list is signed anew at most so often
REVOCATION_PUSH_SECONDS = 5.0  # for a peer to acknowledge a revocation, before it is told again
REVOCATION_ALARM_SECONDS = 300  # a peer has to acknowledge a revocation within
TRUST_MESSAGES_PER_SECOND = 100  # of a relation whose operator said nothing else
TRUST_MBPS = 100

# --- HTTP/2 between servers (section 8) ---
CLIENT_HELLO_BYTES = 64 * 1024
HTTP2_STREAMS = 100  # requests at once on one connection
HTTP2_WINDOW_BYTES = 65535  # of every body, before its sender is given room for the rest
HTTP2_HEADER_BYTES = 8 * 1024  # of one header list, and of the frames that carry it
HTTP2_HEADER_FRAMES = 8  # that carry one header list
HTTP2_HEADER_TABLE_BYTES = 4096  # of our compression state, however much the peer offers
HTTP2_FRAME_BYTES = 16384  # of one frame, in both directions
HTTP2_SETTINGS = 32  # in one frame
HTTP2_WRITE_BYTES = 128 * 1024  # of frames in one write
HTTP2_REPLY_BYTES = 64 * 1024  # of frames that answer a peer which reads none of them
HTTP2_WASTE = 1000  # points for frames that carry nothing (net/http2_guard.py); beyond, the connection is closed …
HTTP2_WASTE_PER_SECOND = 100  # … and so many are forgiven
HTTP2_CLOSED_STREAMS = 1024  # whose ends are remembered, for frames that come late
HTTP2_STALL_SECONDS = 30.0  # a write, or a body apart from …
HTTP2_LEAST_BYTES_PER_SECOND = 32 * 1024  # … the time that it takes at this rate
HTTP2_CHECK_SECONDS = 5.0  # how often stalls and silence are looked for

# --- Finding servers (section 8) ---
DEFAULT_FEDERATION_PORT = 8843
DNS_SECONDS = 5.0  # one look-up, all tries together …
DNS_TRY_SECONDS = 1.5  # … and one of them
MAX_ENDPOINTS = 16  # of one server; of more, the first in order
MAX_TXT_RECORDS = 64  # that are read of one name
TCP_SECONDS = 5.0  # to connect to one endpoint, before the next is tried

# --- Delivery (section 7) and rates (section 10) ---
MESSAGES_PER_MINUTE = 60  # messages and all else that is stored, per device …
MESSAGES_BURST = 120  # … and at once
KEY_LOOKUPS_PER_MINUTE = 30  # per device
REGISTRATIONS_PER_HOUR = 3  # per source
MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # all parts of one message
SUBMISSION_WINDOW = 64  # messages of one connection on their way to the disk
DELIVERY_WINDOW = 128  # deliveries on their way to one device, unacknowledged
RECEIPT_WINDOW = 256  # receipts on their way to one device, unconfirmed
PUSH_WINDOW = 64  # what else is pushed to one device, on its way to the socket; more is dropped
RECEIPTS_BEFORE_PING = 64  # a ping asks the device to confirm this many

# --- Store ---
STORE_BUSY_SECONDS = 5.0  # how long a writer waits for another process's lock
STORE_CHECKPOINT_PAGES = 4000  # 16 MiB of write-ahead log between checkpoints
STORE_JOURNAL_BYTES = 64 * 1024 * 1024
RETENTION_SECONDS = 30 * 86400  # section 6, D-11: undelivered messages, dedupe rows, receipts
OLD_RECORD_SECONDS = 37 * 86400  # section 5, Rotation
PURGE_ROWS = 1000  # per table and call, so that a purge never holds up a commit
HANDOUT_SECONDS = 86400  # section 5, Prekeys: one one-time key per requester, target and day

# --- Client ---
DEFAULT_CLIENT_PORT = 8443
PROFILE_CACHE_RECORDS = 4096
COMMIT_GROUP = 256
COMMIT_QUEUE = 512
EVENT_BUFFER = 1000  # events held for a subscriber that is slow
BACKOFF_FIRST_SECONDS = (0.05, 0.25)  # the first try after a connection was lost
BACKOFF_MAX_SECONDS = 30.0
SENT_KEPT_DAYS = 60  # the status of a sent message
SEEN_KEPT_DAYS = 62  # dedupe records: longer than any message may be delivered
ASK_AGAIN_SECONDS = 60  # a lost session is asked for once in this time, since the opener may be away
MAX_TEXT_BYTES = 256 * 1024  # of one message
OUTBOX_WINDOW = 64  # messages in flight
INBOX_BATCH = 64  # messages read ahead of the application
CLOSE_FLUSH_SECONDS = 2.0  # how long a client that closes waits for what it has to say
MAX_KEY_REQUEST_USERS = 100  # section 5, Prekeys
MAX_EPOCHS_BEHIND = 1000  # states walked back in one go
NEED_RETRIES = 4  # a need that was answered but not satisfied is asked again, at rising intervals from …
NEED_RETRY_SECONDS = 0.5
RETRY_PAUSE_SECONDS = 1.0  # the least pause after the server asked to try again
PREKEY_CHECK_SECONDS = 3600.0  # how often a connected client looks whether a new bundle is due
PREKEY_UPLOADS = 5  # per connection and such period, whatever the server says is missing
ONE_TIME_REFILL = 30  # fewer one-time keys at the server than this: upload more

# --- Node and supervision tree ---
STORE_WAIT_SECONDS = 5.0  # a starting router waits this long for the message store
RESTART_INTENSITY = 20  # more restarts of one supervisor's children …
RESTART_PERIOD_SECONDS = 10.0  # … within this many seconds end the supervisor
DISK_RETRY_SECONDS = 5  # before a full disk is tried again, and what its victims are told to wait
AUDIT_WAITING = 10_000  # entries that wait for a full disk; beyond, the oldest are lost, and logged
COMMIT_BATCH = 512  # operations in one transaction of the message store
PURGE_SECONDS = 600.0
LOGIN_SECONDS = 86400  # an authenticated connection lives this long
SESSION_SWEEP_SECONDS = 60.0
HELD_REGISTRATIONS = 1000
MEMBERS_CACHE = 100_000  # conversations whose members the router knows
DEVICES_CACHE = 100_000  # users whose devices the router knows
ENTRIES_IN_A_RESPONSE = 10  # of devices, 6 KiB each at most, in one key_response
WRITE_BATCH = 32  # messages of one connection that are written at once
GOODBYE_SECONDS = 2.0  # for the last word to a peer that may not listen
WORKER_MAILBOX = 1024  # more than all windows of a connection together
ACTOR_MAILBOX = 4096
MAX_CONNECTIONS = 20_000
UNAUTHENTICATED_PER_SOURCE = 64
RESTART_RETRY_SECONDS = 1  # before a request that met a restarting part is asked again
RECONNECTS_PER_SECOND = 200  # handshakes that a core does; more devices at once are told to wait
SHUTDOWN_SECONDS = 28.0  # of the 30 s that row B38 gives
ACTOR_SHUTDOWN_SECONDS = 1.0
CONTROL_LINE_BYTES = 64 * 1024
CONTROL_BACKLOG = 16
INVITE_SECONDS = 7 * 86400
INVITE_SECONDS_MOST = 30 * 86400
CERTIFICATE_WARNING_DAYS = 14
DISK_WARNING_BYTES = 256 * 1024 * 1024
DOCTOR_SECONDS = 2.0  # for a running node to answer
