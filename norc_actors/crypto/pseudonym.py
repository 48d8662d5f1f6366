"""Users in the audit log: a name per user and day that only the holder of the year's key can link (section 10; B159).

```
k_day     = HKDF(k_year, "", "norc:audit:day:v1" ‖ date, 32)                       date: YYYY-MM-DD of UTC
pseudonym = first 16 bytes of HMAC-SHA-256(k_day, "norc:audit:user:v1" ‖ user_id)
```
"""

import hashlib
import hmac

from .suites import Suite

PSEUDONYM_BYTES = 16


def day_key(suite: Suite, k_year: bytes, date: str) -> bytes:
    """`k_day` for a date written YYYY-MM-DD, under the node's configured suite."""
    return suite.hkdf(k_year, b"", b"norc:audit:day:v1" + date.encode("ascii"), 32)


def pseudonym(k_day: bytes, user_id: str) -> bytes:
    """16 bytes that stand for the user on that day."""
    mac = hmac.new(k_day, b"norc:audit:user:v1" + user_id.encode("ascii"), hashlib.sha256)
    return mac.digest()[:PSEUDONYM_BYTES]
