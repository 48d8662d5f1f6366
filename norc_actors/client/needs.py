"""What a decision lacks before it can be made: asked of the server, then the decision is made anew.

The pure parts never wait. They raise `WantingError`; its layer of changes is dropped; the caller asks the server,
teaches the profile the answer, and calls again. A need that is still there after its answer is final: the caller
gives up, with the cause that the decision then names.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing to ask for.

    `users`: their entries (with fresh bundles, so that sessions can be opened). `devices`: these entries of the one
    user in `users`, revoked ones too (to judge what they signed). `conversation` with `epoch`: a signed state
    (0 = latest). `direct`: the direct conversation with this user.
    """

    users: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    conversation: str = ""
    epoch: int = 0
    direct: str = ""


class WantingError(Exception):
    """The decision needs this first."""

    def __init__(self, need: Need) -> None:
        super().__init__(repr(need))
        self.need = need


class FinalError(Exception):
    """The decision is made, against it: `cause` is a stable word, `what` a sentence for people."""

    def __init__(self, cause: str, what: str, advice: str = "") -> None:
        super().__init__(what)
        self.cause = cause
        self.what = what
        self.advice = advice
