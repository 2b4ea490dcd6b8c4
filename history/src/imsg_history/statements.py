"""The statements that list messages by keyset: one a shape of query, built once, its values bound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import product
from string import ascii_lowercase, ascii_uppercase
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Text,
    bindparam,
    column,
    func,
    not_,
    select,
    true,
    union_all,
    values,
)

from imsg_channels import CHANNELS, METHODS
from imsg_contract import addresses
from imsg_contract.wire import Status
from imsg_history.cursors import Place
from imsg_history.filters import Query
from imsg_history.ids import first_id
from imsg_history.ownership import conditions
from imsg_history.records import RENAMED_CODES
from imsg_history.tables import SMALL_ADDRESS, WRITTEN_LARGE, messages, requests, small

Condition = ColumnElement[bool]
Keys = Select[tuple[str, int]]

_SMALL = str.maketrans(ascii_uppercase, ascii_lowercase)
WINDOW = 10_000
"""Messages among which a part of a recipient is sought at once: no index knows parts, so each call has its bound."""

KEPT = 128
"""Statements that are kept: a program asks for few, and statuses in every order make ten thousands."""

LOWEST, HIGHEST = "0" * 32, "f" * 32


@dataclass(frozen=True, slots=True)
class Shape:
    """Which filters a query has: what its statement depends on."""

    has_username: bool
    has_id: bool
    """Whether one user is meant, and not everybody who has had the name."""
    method: str | None
    statuses: tuple[Status, ...]
    is_email: bool
    forms: int
    """How many normal forms the recipient may have been given in; 0 without a recipient."""
    has_reference: bool
    has_code: bool
    has_part: bool = False
    hides: bool = False
    """Whether only what was written is compared with a part: a user's contact is not found out by guessing."""


class Listings:
    """Statements by the shape of their query, kept: to build one costs more than to run it."""

    def __init__(self, *, is_postgres: bool) -> None:
        self._built = lru_cache(KEPT)(partial(_build, is_postgres=is_postgres))

    def older(self, query: Query, wanted: int) -> tuple[Select[Any], Mapping[str, Any]]:
        """List messages of requests older than the last page's end, newest first, within the times asked for."""
        uppers = [HIGHEST] + ([query.after[0]] if query.after else [])
        uppers += [first_id(query.until)] if query.until else []
        bounds: dict[str, Any] = {"upper": min(uppers), "lower": first_id(query.since) if query.since else LOWEST}
        if query.part is not None:
            bounds |= {"found": wanted}
            return self._statement("older", query), {**_values(query, WINDOW), **bounds}
        return self._statement("older", query), {**_values(query, wanted), **bounds}

    def window_end(self, query: Query) -> tuple[Select[Any], Mapping[str, Any]]:
        """Tell how many messages a part was sought among, and the last of them."""
        _, bound = self.older(query, 1)
        return self._statement("window", query), {name: value for name, value in bound.items() if name != "found"}

    def within(self, query: Query, request: str, after: int, wanted: int) -> tuple[Select[Any], Mapping[str, Any]]:
        """List the messages of one request that come after one of its numbers."""
        return self._statement("within", query), {**_values(query, wanted), "request": request, "after": after}

    def _statement(self, kind: str, query: Query) -> Select[Any]:
        shape = Shape(
            query.whose is not None,
            bool(query.whose and query.whose.user_id),
            query.method,
            query.statuses,
            query.to is not None and addresses.email(query.to) is not None,
            len(_forms(query.to)),
            query.reference is not None,
            query.code is not None,
            query.part is not None,
            query.hides,
        )
        return self._built(kind, shape)


def is_in_time(query: Query, place: Place) -> bool:
    """Tell whether a place lies within the times a query asks for."""
    return (query.until is None or place[0] < first_id(query.until)) and (
        query.since is None or place[0] >= first_id(query.since)
    )


def _values(query: Query, wanted: int) -> dict[str, Any]:
    forms = {f"form{i}": form for i, form in enumerate(_forms(query.to))}
    whose = query.whose.values if query.whose else {}
    if query.to is not None and (email := addresses.email(query.to)) is not None:
        forms["small"] = _small(email)
    named = {"written": query.to, "reference": query.reference, "codes": _codes(query.code)}
    if query.part is not None:
        named["part"] = f"%{_escape(query.part)}%"
    return {**whose, **named, "wanted": wanted, **forms}


def _codes(code: str | None) -> list[str | None]:
    """List what a code was ever written as."""
    return [code, *(old for old, new in RENAMED_CODES.items() if new == code)]


def _forms(to: str | None) -> list[str]:
    """List the normal forms a recipient may have been given in, and what was written itself."""
    if to is None:
        return []
    email = addresses.email(to)
    forms = {to, email and _small(email), *(channel.address.parse(to) for channel in CHANNELS)}
    return sorted(form for form in forms if form is not None)


def _small(text: str) -> str:
    """Write a text as `tables.small` does."""
    return text.translate(_SMALL)


def _escape(text: str) -> str:
    """Write a text so that LIKE takes every character for itself."""
    return "".join(f"\\{one}" if one in "\\%_" else one for one in text)


def _build(kind: str, shape: Shape, *, is_postgres: bool) -> Select[Any]:
    if kind == "within":
        return _within(shape)
    if kind == "window":
        return _window_end(shape, is_postgres=is_postgres)
    return _older(shape, is_postgres=is_postgres)


def _within(shape: Shape) -> Select[Any]:
    where = [messages.c.request == bindparam("request"), messages.c.n > bindparam("after"), *_conditions(shape)]
    if shape.forms:
        is_one = messages.c.address.in_(_form_values(shape)) | (messages.c.written == bindparam("written"))
        where.append(is_one | (bindparam("small", type_=Text) == SMALL_ADDRESS) if shape.is_email else is_one)
    if shape.has_part:
        where.append(_has_part(shape))
    return _in_order(select(messages).where(*where)).limit(bindparam("wanted", type_=Integer))


def _has_part(shape: Shape) -> Condition:
    pattern = bindparam("part", type_=Text)
    is_written = small(messages.c.written).like(pattern, escape="\\")
    return is_written if shape.hides else is_written | SMALL_ADDRESS.like(pattern, escape="\\")


def _window_end(shape: Shape, *, is_postgres: bool) -> Select[Any]:
    window = _keys_older(shape, is_postgres=is_postgres).subquery("window")
    place = select(window.c.request, window.c.n, func.count().over().label("messages"))
    return place.order_by(window.c.request, window.c.n.desc()).limit(1)


def _older(shape: Shape, *, is_postgres: bool) -> Select[Any]:
    keys = _keys_older(shape, is_postgres=is_postgres).subquery("page")
    page = (keys.c.request == messages.c.request) & (keys.c.n == messages.c.n)
    listed = _in_order(select(messages).join(keys, page))
    return listed.where(_has_part(shape)).limit(bindparam("found", type_=Integer)) if shape.has_part else listed


def _keys_older(shape: Shape, *, is_postgres: bool) -> Keys:
    where = [
        messages.c.request < bindparam("upper"),
        messages.c.request >= bindparam("lower"),
        *_conditions(shape),
    ]
    if shape.forms:
        forms = _form_values(shape)
        branches = [_keys([messages.c.address == form, *where]) for form in forms]
        written = [messages.c.written == bindparam("written"), messages.c.written != messages.c.address]
        others = [messages.c.address.not_in(forms), *where]
        if not shape.is_email:
            return _merge([*branches, _keys([*written, *others])])
        is_small = bindparam("small", type_=Text) == SMALL_ADDRESS
        large = [is_small, WRITTEN_LARGE, *others]  # an address is one person whatever its case
        return _merge([*branches, _keys([*written, not_(is_small), *others]), _keys(large)])
    methods = [shape.method] if shape.method else METHODS
    statuses = shape.statuses or list(Status)
    kinds = [(method, status.value) for method, status in product(methods, statuses)]
    if len(kinds) == 1 or shape.has_reference:  # few requests have one reference: they are found first
        return _keys(where)
    return _lateral(kinds, where) if is_postgres else _merge([_keys([*_of(kind), *where]) for kind in kinds])


def _conditions(shape: Shape) -> list[Condition]:
    where: list[Condition] = []
    if shape.has_username:
        where += conditions(messages, by_id=shape.has_id)
    if shape.method is not None:
        where.append(messages.c.method == shape.method)
    if shape.statuses:
        where.append(messages.c.status.in_([status.value for status in shape.statuses]))
    if shape.has_code:
        where.append(messages.c.code.in_(bindparam("codes", expanding=True)))
    if shape.has_reference:
        where.append(
            messages.c.request.in_(select(requests.c.request).where(requests.c.reference == bindparam("reference")))
        )
    # Without a job yet there is no method and no username: such a message is not shown.
    return where if shape.has_username or shape.method is not None else [*where, messages.c.method.is_not(None)]


def _form_values(shape: Shape) -> list[Any]:
    return [bindparam(f"form{i}", type_=Text) for i in range(shape.forms)]


def _of(kind: tuple[str, str]) -> list[Condition]:
    return [messages.c.method == kind[0], messages.c.status == kind[1]]


def _keys(where: Sequence[Condition]) -> Keys:
    return _in_order(select(messages.c.request, messages.c.n).where(*where)).limit(bindparam("wanted", type_=Integer))


def _in_order(statement: Select[Any]) -> Select[Any]:
    return statement.order_by(messages.c.request.desc(), messages.c.n)


def _merge(branches: Sequence[Keys]) -> Keys:
    """Merge listings that share no message: each is read by its own index, as far as one page goes."""
    merged = union_all(*(select(branch.subquery()) for branch in branches)).subquery()
    keys = select(merged.c.request, merged.c.n).order_by(merged.c.request.desc(), merged.c.n)
    return keys.limit(bindparam("wanted", type_=Integer))


def _lateral(kinds: Sequence[tuple[str, str]], where: Sequence[Condition]) -> Keys:
    """Merge as above, planned once for all kinds: PostgreSQL plans every partition of every branch otherwise."""
    kind = values(column("method", Text), column("status", Text), name="kind").data(list(kinds))
    one = _keys([messages.c.method == kind.c.method, messages.c.status == kind.c.status, *where]).lateral("one")
    keys = select(one.c.request, one.c.n).select_from(kind.join(one, true())).order_by(one.c.request.desc(), one.c.n)
    return keys.limit(bindparam("wanted", type_=Integer))
