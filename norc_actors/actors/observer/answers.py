"""What the operator's socket says: an answer, or a refusal with what to do next."""

Answer = dict[str, object]


class RefusedError(Exception):
    """A request that cannot be met: what is wrong, and what to do next."""

    def __init__(self, error: str, next: str) -> None:  # noqa: A002 - the word of the answers
        super().__init__(error, next)
        self.error = error
        self.next = next
