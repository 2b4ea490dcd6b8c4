"""The statements that list messages: newest request first, by keyset, so that each page reads an index.

To add a filter, add a field to `queries.MessagesQuery` and a condition to `_conditions`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, column, exists, func, literal, not_, select, true, union_all, values

from imsg_channels import CHANNELS, METHODS
from imsg_contract import addresses
from imsg_contract.wire import Status
from imsg_database.totals import count_rows
from imsg_history.ids import first_id
from imsg_history.ownership import Ownership, find_ownership
from imsg_history.pagination import MessagePosition
from imsg_history.queries import WINDOW, MessagesQuery
from imsg_history.tables import HAS_UPPERCASE, LOWER_ADDRESS, ascii_lower, messages, requests
from imsg_web.callers import Caller
from imsg_web.schemas import MAX_TOTAL

COUNTED_MESSAGES = 100_000
"""Messages among which requests are counted."""

Condition = ColumnElement[bool]
Keys = Select[tuple[str, int]]

_TO_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """The messages that a caller's query asks for."""

    query: MessagesQuery
    ownership: Ownership | None
    """The user whose messages; None: of all users."""
    hides_contacts: bool
    """Whether contacts of recipients written as usernames are hidden from the caller: from all who don't see all."""
    after: MessagePosition | None
    """Where the page before ended."""
    sees_content: bool
    """Whether the caller reads the content of messages."""

    @classmethod
    def build(cls, query: MessagesQuery, caller: Caller) -> "MessageFilter":
        """Build the filter of a query. Raises Refusal no_right."""
        return cls(
            query, find_ownership(query.username, caller), not caller.sees_all, query.cursor, caller.sees_content
        )

    def is_in_time(self, request: str) -> bool:
        """Return whether a request lies within the times that the query asks for."""
        since, until = self.query.since, self.query.until
        return (until is None or request < first_id(until)) and (since is None or request >= first_id(since))


def list_within(wanted: MessageFilter, request: str, after_n: int, limit: int) -> Select[Any]:
    """List the messages of one request that come after one of its numbers."""
    query = wanted.query
    where = [messages.c.request == request, messages.c.n > after_n, *_conditions(wanted)]
    if query.to is not None:
        is_one = messages.c.address.in_(_normal_forms(query.to)) | (messages.c.written == query.to)
        if (email := addresses.email(query.to)) is not None:
            is_one |= literal(_lower(email), Text) == LOWER_ADDRESS
        where.append(is_one)
    if query.part is not None:
        where.append(_has_part(wanted, query.part))
    if query.key is not None:
        where.append(_is_sent_by(query.key))
    return _order(select(messages).where(*where)).limit(limit)


def list_older(wanted: MessageFilter, limit: int, *, is_postgres: bool) -> Select[Any]:
    """List messages of requests older than the one where the page before ended, within the times asked for."""
    part = wanted.query.part
    keys = _select_keys(wanted, limit if part is None else WINDOW, is_postgres=is_postgres).subquery("page")
    page = (keys.c.request == messages.c.request) & (keys.c.n == messages.c.n)
    listed = _order(select(messages).join(keys, page))
    return listed if part is None else listed.where(_has_part(wanted, part)).limit(limit)


def count_messages(wanted: MessageFilter, *, is_postgres: bool) -> Select[int] | None:
    """Return the statement that counts the messages, `MAX_TOTAL` + 1 at most; None where no index counts them."""
    limit, name = MAX_TOTAL + 1, wanted.query.id
    if name is not None and name.n is None and not _hides_some(wanted) and wanted.is_in_time(name.request):
        return count_rows(list_within(wanted, name.request, -1, limit), limit)
    keys = _select_countable(wanted, limit, is_postgres=is_postgres)
    return None if keys is None else count_rows(keys, limit)


def count_requests(wanted: MessageFilter, *, is_postgres: bool) -> Select[int, int] | None:
    """Return the statement that counts the first `COUNTED_MESSAGES` messages, and the requests among these.

    None where no index counts them.
    """
    keys = _select_countable(wanted, COUNTED_MESSAGES, is_postgres=is_postgres)
    if keys is None:
        return None
    counted = keys.order_by(None).subquery()
    of_requests = func.count(counted.c.request.distinct()).label("requests")
    return select(func.count().label("messages"), of_requests).select_from(counted)


def _select_countable(wanted: MessageFilter, limit: int, *, is_postgres: bool) -> Keys | None:
    """Select the messages of all pages; None where rows that do not fit would have to be read to count them."""
    query = wanted.query
    is_sifted = query.key is not None and (query.method is not None or query.statuses)
    if query.id is not None or query.part is not None or query.code is not None or is_sifted or _hides_some(wanted):
        return None
    return _select_keys(replace(wanted, after=None), limit, is_postgres=is_postgres)


def _hides_some(wanted: MessageFilter) -> bool:
    """Return whether some of the messages may be hidden from the caller: to count them would confirm a guess."""
    return wanted.hides_contacts and wanted.query.to is not None


def select_window_end(wanted: MessageFilter, *, is_postgres: bool) -> Select[Any]:
    """Select the last of the messages that `list_older` searches for a part of a recipient, and their number."""
    window = _select_keys(wanted, WINDOW, is_postgres=is_postgres).subquery("window")
    end = select(window.c.request, window.c.n, func.count().over().label("messages"))
    return end.order_by(window.c.request, window.c.n.desc()).limit(1)


def _select_keys(wanted: MessageFilter, limit: int, *, is_postgres: bool) -> Keys:
    query = wanted.query
    where = _conditions(wanted)
    if wanted.after is not None:
        where.append(messages.c.request < wanted.after.request)
    if query.until is not None:
        where.append(messages.c.request < first_id(query.until))
    if query.since is not None:
        where.append(messages.c.request >= first_id(query.since))
    if query.to is not None:
        return _select_keys_to(query.to, where if query.key is None else [*where, _is_sent_by(query.key)], limit)
    if query.key is not None:  # by the index that lists the key's requests in this order
        of_key = select(messages.c.request, messages.c.n).join(requests, requests.c.request == messages.c.request)
        return (
            of_key.where(requests.c.key == query.key, *where)
            .order_by(requests.c.request.desc(), messages.c.n)
            .limit(limit)
        )
    methods = [query.method] if query.method else METHODS
    kinds = [(method, status.value) for method, status in product(methods, query.statuses or Status)]
    if len(kinds) == 1 or query.reference is not None:  # few requests have one reference: they are found first
        return _keys(where, limit)
    if is_postgres:
        return _merge_lateral(kinds, where, limit)
    return _merge([_keys([*_is_kind(messages.c, kind), *where], limit) for kind in kinds], limit)


def _select_keys_to(to: str, where: Sequence[Condition], limit: int) -> Keys:
    """Select the messages to one recipient: by each normal form, and as written, each by its index."""
    forms = _normal_forms(to)
    branches = [_keys([messages.c.address == form, *where], limit) for form in forms]
    is_written = [messages.c.written == to, messages.c.written != messages.c.address]
    others = [messages.c.address.not_in(forms), *where]
    email = addresses.email(to)
    if email is None:
        return _merge([*branches, _keys([*is_written, *others], limit)], limit)
    is_same = literal(_lower(email), Text) == LOWER_ADDRESS  # an address is one person whatever its case
    written = _keys([*is_written, not_(is_same), *others], limit)
    return _merge([*branches, written, _keys([is_same, HAS_UPPERCASE, *others], limit)], limit)


def _conditions(wanted: MessageFilter) -> list[Condition]:
    query = wanted.query
    where: list[Condition] = []
    if wanted.ownership is not None:
        where += wanted.ownership.conditions(messages)
    if query.method is not None:
        where.append(messages.c.method == query.method)
    if query.statuses:
        where.append(messages.c.status.in_(query.statuses))
    if query.code is not None:
        where.append(messages.c.code == query.code)
    if query.reference is not None:
        of_reference = select(requests.c.request).where(requests.c.reference == query.reference)
        where.append(messages.c.request.in_(of_reference))
    if wanted.ownership is None and query.method is None:
        # A message whose job has not arrived yet has no method and no username: it is not shown.
        where.append(messages.c.method.is_not(None))
    return where


def _is_sent_by(key: str) -> Condition:
    return exists().where(requests.c.request == messages.c.request, requests.c.key == key)


def _normal_forms(to: str) -> list[str]:
    """Return the normal forms of a recipient as channels write it, and the text itself."""
    email = addresses.email(to)
    forms = {to, email and _lower(email), *(channel.address.parse(to) for channel in CHANNELS)}
    return sorted(form for form in forms if form is not None)


def _lower(text: str) -> str:
    """Lower A to Z alone, as `tables.ascii_lower` does."""
    return text.translate(_TO_LOWER)


def _has_part(wanted: MessageFilter, part: str) -> Condition:
    is_written: Condition = ascii_lower(messages.c.written).contains(part, autoescape=True)
    if wanted.hides_contacts:
        return is_written  # a user's contact is not found out by guessing
    return is_written | LOWER_ADDRESS.contains(part, autoescape=True)


def _keys(where: Sequence[Condition], limit: int) -> Keys:
    return _order(select(messages.c.request, messages.c.n).where(*where)).limit(limit)


def _is_kind(columns: Any, kind: Any) -> list[Condition]:  # noqa: ANN401  columns of a table; two values or columns
    return [columns.method == kind[0], columns.status == kind[1]]


def _order(statement: Select[Any], columns: Any = messages.c) -> Select[Any]:  # noqa: ANN401  columns of a table
    return statement.order_by(columns.request.desc(), columns.n)


def _merge(branches: Sequence[Keys], limit: int) -> Keys:
    """Merge listings that share no message: each is read by its own index, as far as one page goes."""
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    return _order(select(merged.c.request, merged.c.n), merged.c).limit(limit)


def _merge_lateral(kinds: Sequence[tuple[str, str]], where: Sequence[Condition], limit: int) -> Keys:
    """Merge the listings of these methods and statuses; PostgreSQL plans one branch, and not each of a union."""
    kind = values(column("method", Text), column("status", Text), name="kind").data(list(kinds))
    newest = _keys([*_is_kind(messages.c, (kind.c.method, kind.c.status)), *where], limit).lateral("one")
    return _order(select(newest.c.request, newest.c.n).select_from(kind.join(newest, true())), newest.c).limit(limit)
