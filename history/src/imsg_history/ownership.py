"""Which messages a caller may see: a user's own, or all of a name for administrators."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Row, Table

from imsg_contract.roles import refuse_role
from imsg_history.ids import first_id
from imsg_history.records import MAX_NAME, clean
from imsg_web.callers import Caller

SKEW = timedelta(days=1)
"""How far a gateway's clock, which makes requests' ids, may be behind auth's, which makes users' times."""


@dataclass(frozen=True, slots=True)
class Ownership:
    """The users whose rows are selected: all who have had a name, or one user by id."""

    username: str
    user_id: str | None = None
    since: datetime | None = None
    """When the user was registered: no older row is the user's, so that an index by name reads none."""

    def is_of_user(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions under which a row of any table belongs to these users."""
        conditions = [table.c.username == self.username]
        if self.user_id is not None:
            conditions.append(table.c.user_id == self.user_id)
        return conditions

    def conditions(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions under which a row of `requests` or `messages` belongs to them."""
        conditions = self.is_of_user(table)
        if self.since is not None:
            conditions.append(table.c.request >= first_id(self.since - SKEW))
        return conditions


def find_ownership(username: str | None, caller: Caller) -> Ownership | None:
    """Return the owner of the messages that a caller asks for; None for all users', if the caller sees all.

    Raises Refusal no_right.
    """
    if caller.sees_all:
        return None if username is None else Ownership(clean(username, MAX_NAME))
    if username not in (None, caller.username):
        raise refuse_role()  # as v1 has always written it
    return Ownership(clean(caller.username, MAX_NAME), caller.user_id, caller.since)


def may_see(request: Row[tuple[object, ...]], caller: Caller) -> bool:
    """Return whether a caller may see a row of `requests`."""
    return caller.sees_all or request.user_id == caller.user_id
