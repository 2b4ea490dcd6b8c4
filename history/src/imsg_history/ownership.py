"""Whose messages a caller may see: by the user's id, and what has none by name and time."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Table, bindparam, or_

from imsg_contract.errors import Refusal
from imsg_history.ids import first_id
from imsg_history.records import MAX_NAME, clean
from imsg_history.tables import RequestId
from imsg_web.callers import Caller

SKEW = timedelta(days=1)
"""How far a gateway's clock, which requests' ids are of, may be behind auth's, which users' times are of: only how far
back rows are looked at hangs on it."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """Everybody who has had a name, or (with an id) one user alone."""

    username: str
    user_id: str | None = None
    since: datetime | None = None

    @property
    def values(self) -> dict[str, str]:
        """What `conditions` binds."""
        bound = {"username": self.username}
        if self.user_id is not None and self.since is not None:
            bound |= {"user_id": self.user_id, "theirs": first_id(self.since), "seen": first_id(self.since - SKEW)}
        return bound


def whose(username: str | None, caller: Caller) -> Ownership | None:
    """Tell whose messages are meant: a user's own; for an administrator everybody's, or all of a name.

    Raises Refusal no_right.
    """
    if caller.is_admin:
        return None if username is None else Ownership(clean(username, MAX_NAME))
    if username not in (None, caller.username):
        raise Refusal("no_right")
    return Ownership(clean(caller.username, MAX_NAME), caller.user_id, caller.since)


def conditions(table: Table, *, by_id: bool) -> list[Any]:
    """Select the rows of a Whose, whose `values` are bound; `by_id` says whether it has an id."""
    of_name = table.c.username == bindparam("username")
    if not by_id:
        return [of_name]
    theirs = table.c.user_id.is_(None) & (table.c.request >= bindparam("theirs", type_=RequestId))
    of_id = table.c.user_id == bindparam("user_id", type_=RequestId)
    return [of_name, table.c.request >= bindparam("seen", type_=RequestId), or_(of_id, theirs)]


def is_of(username: str, user_id: str | None, request: str, caller: Caller) -> bool:
    """Tell whether a request is the caller's own."""
    if username != caller.username:
        return False
    if caller.user_id is None or caller.since is None:
        return True
    return user_id == caller.user_id if user_id is not None else request >= first_id(caller.since)
