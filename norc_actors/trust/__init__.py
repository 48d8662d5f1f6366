"""Trust between servers, pure: what was proven, what was granted, what follows (section 9; NORC-T).

| Module | In one sentence |
|---|---|
| `validators.py` | what every model of trust is asked, and what it answers; the direct exchange |
| `web.py` | recommendations, and trust along a path of servers that trust one another |
| `x509_chains.py` | chains of X.509 certificates, and those of governments |
| `x509_path.py`, `x509_status.py`, `transparency.py` | the path to a root and its policies, revocation, logs |
| `scoring.py` | points by criterion, the level that was proven, and what is missing for a higher one |
| `exchange.py`, `requesting.py`, `granting.py` | the six messages of an exchange, and what each side says and checks |
| `certificates.py`, `renewal.py` | trust certificates: issued, checked, renewed |
| `conditions.py` | what has to happen until when, and what follows if it does not |
| `revocation.py`, `crl.py` | how trust ends, and how everybody learns of it |
| `relations.py` | what all of that comes to between this server and another |
| `policy.py` | which type of message needs what of a relation |
| `health.py` | what endangers a relation, and what mends it |
| `drafts.py` | maps that wait for their signature |

Nothing here reads a clock, a socket or randomness: all three are passed in, as are answers of DNS.
"""
