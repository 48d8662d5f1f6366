"""What the other side's operator may do about a refusal (row B27): the `resolution_hint` of each code."""

from typing import Final

from norc_actors.protocol.errors import Code

HINTS: Final[dict[Code, str]] = {
    Code.SERVER_NOT_TRUSTED: "Ask for trust: norc trust request SERVER",
    Code.TRUST_EXPIRED: "Renew it: norc trust renew SERVER",
    Code.TRUST_REVOKED: "Speak with the other operator; then: norc trust request SERVER",
    Code.INSUFFICIENT_TRUST: "Ask for a higher level: norc trust request SERVER --level LEVEL",
    Code.PERMISSION_DENIED: "See what is permitted: norc trust show SERVER",
    Code.CLASSIFICATION_EXCEEDED: "See which classifications the level allows: norc trust show SERVER",
    Code.NO_ROUTE: "Look at the way there: norc peer check SERVER",
    Code.LOOP_DETECTED: "Look at the configured routes of the servers on the path",
    Code.CLOCK_SKEW: "Look at both clocks: norc peer check SERVER",
    Code.MESSAGE_TOO_LARGE: "See the largest message of the relation: norc trust show SERVER",
    Code.PROTOCOL_VERSION: "Look at the versions of both servers: norc peer check SERVER",
    Code.CAPABILITY_MISSING: "Look at the capabilities of both servers: norc peer check SERVER",
    Code.PQ_REQUIRED: "Offer a hybrid suite; from level verified on it is mandatory",
    Code.BAD_SIGNATURE: "Look at the keys that both pin: norc trust show SERVER",
}
