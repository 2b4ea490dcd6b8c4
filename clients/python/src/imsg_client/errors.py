"""What a call may raise, each a subclass of ImsgError."""

from collections.abc import Mapping
from typing import Any

_UNAUTHENTICATED = frozenset({10005, 10006, 10007})
_LIMITED = 10013
_INTERNAL = 10012
_CONFLICTS = frozenset({"key_reused", "in_progress", "already_resent", "already_due", "not_scheduled"})


class ImsgError(Exception):
    """Something went wrong; its text is for people."""


class ConnectionFailed(ImsgError):
    """The server could not be reached, or the connection broke, for as long as the client's patience lasted."""


class UnexpectedAnswer(ImsgError):
    """The answer is none of iMSG's: a proxy's page, most likely. `base_url` may be wrong."""


class NotSettled(ImsgError):
    """A request was waited for and has not settled in time; it is still being sent."""


class SheetError(ImsgError):
    """A sheet can't be read; the text says what is wrong, and in which row or column."""


class SheetWarning(UserWarning):
    """Rows of a sheet were left out, since they hold no recipient; the text names the first of them."""


class CallbackInvalid(ImsgError):
    """A callback is not iMSG's, or too old: answer 400 and do nothing."""


class Refused(ImsgError):
    """The server refused a call: nothing was done, unless it is an OutcomeUnknown."""

    def __init__(self, status: int, body: Mapping[str, Any], retry_after_s: float | None = None) -> None:
        self.status = status
        """HTTP's status."""
        self.code: int = body.get("errorCode", 0)
        """`errorCode`, 10001 to 10017."""
        self.reason: str = body.get("reason", "")
        """The code in words, as `per_hour_used_up`; it distinguishes cases of one `errorCode`."""
        self.detail: str = body.get("detail", "")
        """What is wrong and what to do, in the client's language."""
        self.retry_after_s = retry_after_s
        """The seconds until a repeat makes sense, where the server gives them."""
        self.request_id: str | None = body.get("id")
        """The request's id where an outcome is unknown."""
        what = body.get("errorMessage", "")
        super().__init__(f"{self.code} {what}{': ' if self.detail else ''}{self.detail}")


class Unauthenticated(Refused):
    """Username, password or token is wrong, or the token has ended and there is no password to get another by."""


class LimitReached(Refused):
    """The hour's or the day's limit is used up; `retry_after_s` says when it opens again."""


class Conflict(Refused):
    """The Idempotency-Key was used with another body, or what is to be resent was resent already."""


class CursorExpired(Refused):
    """Some events after this cursor are gone: read on without one, and look at `messages` for what happened between."""


class Unavailable(Refused):
    """Part of the system is away, for longer than the client's patience."""


class OutcomeUnknown(Unavailable):
    """It is unknown whether the request was accepted: repeat with the same Idempotency-Key, `idempotency_key`."""

    idempotency_key: str | None = None


def refusal(status: int, body: Mapping[str, Any], retry_after_s: float | None = None) -> Refused:
    """Return the error of a refusal."""
    code, reason = body.get("errorCode"), body.get("reason")
    kind: type[Refused] = Refused
    if code in _UNAUTHENTICATED:
        kind = Unauthenticated
    elif code == _LIMITED:
        kind = LimitReached
    elif code == _INTERNAL:
        kind = OutcomeUnknown if reason == "outcome_unknown" else Unavailable
    elif reason == "cursor_expired":
        kind = CursorExpired
    elif reason in _CONFLICTS:
        kind = Conflict
    return kind(status, body, retry_after_s)
