"""The tables of history, and how their values are kept in PostgreSQL and in SQLite."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    TypeDecorator,
    Uuid,
    and_,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from imsg_contract.wire import Category
from imsg_history.ids import EPOCH
from imsg_history.latencies import LATENCIES_S

MICROSECOND = timedelta(microseconds=1)


class RequestId(TypeDecorator[str]):
    """A request's or a user's id: 32 hex digits in Python and in SQLite, `uuid` (16 bytes) in PostgreSQL."""

    impl = String(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(Uuid() if dialect.name == "postgresql" else String(32))

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401  the driver's own
        """Write what a driver returned as 32 hex digits."""
        del dialect
        return value.hex if isinstance(value, UUID) else value


class Moment(TypeDecorator[datetime]):
    """A time in UTC, to the microsecond: `timestamptz` in PostgreSQL, microseconds since 1970 in SQLite."""

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Choose the column's type."""
        return dialect.type_descriptor(DateTime(timezone=True) if dialect.name == "postgresql" else BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:  # noqa: ANN401
        """Return a time in the form that the column holds."""
        return value if value is None or dialect.name == "postgresql" else (value - EPOCH) // MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ANN401
        """Return the time that the column holds."""
        if value is None or dialect.name == "postgresql":
            return value  # type: ignore[no-any-return]
        return EPOCH + int(value) * MICROSECOND


class ascii_lower(FunctionElement[str]):  # noqa: N801  a function of SQL
    """Text with A to Z in lower case: the same on both databases, whatever the server's language."""

    type = Text()
    inherit_cache = True


@compiles(ascii_lower)
def _compile_ascii_lower(element: ascii_lower, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401  SQLAlchemy's own
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(ascii_lower, "postgresql")
def _compile_ascii_lower_postgres(element: ascii_lower, compiler: SQLCompiler, **options: Any) -> str:  # noqa: ANN401
    return f'lower({compiler.process(element.clauses, **options)} COLLATE "C")'


metadata = MetaData()

PARTITIONED = ("requests", "messages", "attempts")
"""On PostgreSQL these are partitioned by range of the request's id, which begins with its time."""

_BY_REQUEST: dict[str, Any] = {"postgresql_partition_by": "RANGE (request)"}

requests = Table(
    "requests",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("username", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("account", Text),
    Column("lane", Text, nullable=False),
    Column("subject", Text),
    Column("content", Text),  # JSON; null where content_at (JSON) says under which hash it is kept
    Column("content_at", Text),
    Column("attachments", Text, nullable=False),  # JSON
    Column("segments", Integer),
    Column("resend_of", Text),
    Column("accepted_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("due_at", Moment),  # when it is to be sent, where the client names a time
    Column("moves", Integer, nullable=False),  # how often that or `held_until` changed
    Column("released_at", Moment),  # when scheduler handed it to its channel
    Column("held_until", Moment),  # when the window opens that it waits for
    Column("held_by", Text),  # the id of that window
    Column("leg", SmallInteger),  # which one of a request with a fallback it is, from 1
    Column("leg_of", RequestId),  # the request of the first leg
    Column("legs", Text),  # JSON, of the first: id and method of each leg, in order
    Column("reached", Integer),  # this and the next two count people (`wire.Progress`)
    Column("not_reached", Integer),
    Column("open_people", Integer),
    Column("reference", Text),  # the client's own name for it
    Column("user_id", RequestId),
    Column("category", Text, nullable=False),
    Column("template", Text),
    Column("day", String(10), nullable=False),  # of the day facts that count it
    Column("key", Text),  # the name of the API key that sent it
    Column("department", Text),
    PrimaryKeyConstraint("request"),
    **_BY_REQUEST,
)
HAS_REFERENCE = requests.c.reference.is_not(None)
Index(
    "requests_by_reference",
    requests.c.reference,
    requests.c.request.desc(),
    postgresql_where=HAS_REFERENCE,
    sqlite_where=HAS_REFERENCE,
)
IS_LEG = requests.c.leg_of.is_not(None)
Index("requests_by_leg", requests.c.leg_of, postgresql_where=IS_LEG, sqlite_where=IS_LEG)
HAS_KEY = requests.c.key.is_not(None)
Index("requests_by_key", requests.c.key, requests.c.request.desc(), postgresql_where=HAS_KEY, sqlite_where=HAS_KEY)
IS_CODE_WITH_CONTENT: ColumnElement[bool] = and_(
    requests.c.category == literal_column(f"'{Category.CODE.value}'"),
    or_(requests.c.content.is_not(None), requests.c.content_at.is_not(None)),
)
Index("requests_codes", requests.c.request, postgresql_where=IS_CODE_WITH_CONTENT, sqlite_where=IS_CODE_WITH_CONTENT)
IS_TEST = requests.c.lane == literal_column("'test'")
Index("requests_of_tests", requests.c.request, postgresql_where=IS_TEST, sqlite_where=IS_TEST)
SENDS_AGAIN = func.substr(requests.c.resend_of, literal_column("1"), literal_column("32"))
"""The request of which a request sends messages again, whether all of it was meant or one message."""
Index(
    "requests_by_resend",
    SENDS_AGAIN,
    postgresql_where=requests.c.resend_of.is_not(None),
    sqlite_where=requests.c.resend_of.is_not(None),
)

TESTS = select(requests.c.request).where(IS_TEST)
"""The requests of test keys, which statistics leave out. They are few: the index has them alone."""

jobs = Table(  # what was published, to be published again if it should be lost; gone when all of it is settled
    "jobs",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("repeats", SmallInteger, nullable=False),
    Column("repeated_at", Moment),
    PrimaryKeyConstraint("request"),
)

messages = Table(
    "messages",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("n", Integer, nullable=False),
    Column("username", Text),  # null, as method and addresses are, until the job arrives after its outcome
    Column("method", Text),
    Column("written", Text),  # what the client wrote: the API's `to`
    Column("address", Text),
    Column("status", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("mark", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("code", Text),
    Column("detail", Text),
    Column("user_id", RequestId),
    Column("erased_at", Moment),  # of the tombstone that took the recipient; of such a row only what counts is kept
    Column("events", SmallInteger),  # which events callbacks wants (`wire.EventKind`); null until the job arrives
    Column("seq", Integer, nullable=False, server_default="1"),  # counts its changes, that it came to be included
    Column("sent_in", SmallInteger),  # which bucket of LATENCIES_S the time to sent is in
    Column("delivered_in", SmallInteger),
    Column("country", String(2)),  # of the number that it was sent to; kept when the number is erased
    Column("billed_segments", Integer),  # as the provider charges them
    Column("billed", BigInteger),  # what the provider charges, in millionths (`contract.prices`)
    Column("currency", String(3)),  # of `billed`
    Column("params", Text),  # JSON of what a template takes of the recipient, and the language; null: as the request
    Column("reference", Text),  # the client's own name for it; null: the request's
    Column("simulated", SmallInteger),  # 1: the sandbox replaced its provider
    Column("previous", Text),  # how day facts counted it before its last change (`day_facts`); null: not at all
    PrimaryKeyConstraint("request", "n"),
    sqlite_with_rowid=False,
    **_BY_REQUEST,
)
"""One row a recipient. (rank, attempt, at, mark) decide which event its status is of: the highest wins."""

# Every listing is newest request first, then n upwards, by keyset. Methods and statuses are few: a filter that
# leaves one of them open asks for each value in turn and merges, so two indexes serve every combination.
Index(
    "messages_by_user",
    messages.c.username,
    messages.c.method,
    messages.c.status,
    messages.c.request.desc(),
    messages.c.n,
)
Index("messages_by_status", messages.c.method, messages.c.status, messages.c.request.desc(), messages.c.n)
Index("messages_by_address", messages.c.address, messages.c.request.desc(), messages.c.n)
LOWER_ADDRESS: ColumnElement[str] = ascii_lower(messages.c.address)
HAS_UPPERCASE = messages.c.address != LOWER_ADDRESS
Index(
    "messages_by_lower_address",
    LOWER_ADDRESS,
    messages.c.request.desc(),
    messages.c.n,
    postgresql_where=HAS_UPPERCASE,
    sqlite_where=HAS_UPPERCASE,
)
AS_WRITTEN = messages.c.written != messages.c.address
Index(
    "messages_by_written",
    messages.c.written,
    messages.c.request.desc(),
    messages.c.n,
    postgresql_where=AS_WRITTEN,
    sqlite_where=AS_WRITTEN,
)

IS_ERASED = messages.c.erased_at.is_not(None)
Index("messages_erased", messages.c.erased_at, postgresql_where=IS_ERASED, sqlite_where=IS_ERASED)

REFERENCE = func.coalesce(messages.c.reference, requests.c.reference).label("reference")
"""The client's own name for a message: of its own, or of its request."""

attempts = Table(
    "attempts",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at", Moment, nullable=False),
    Column("mark", BigInteger, nullable=False),
    Column("attempt", Integer),  # null for a receipt, which belongs to no attempt
    Column("status", Text, nullable=False),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("code", Text),
    Column("detail", Text),
    PrimaryKeyConstraint("request", "n", "at", "mark"),
    sqlite_with_rowid=False,
    **_BY_REQUEST,
)
HAS_PROVIDER_ID = attempts.c.provider_id.is_not(None)
Index(
    "attempts_by_provider",
    attempts.c.provider_id,
    attempts.c.provider,
    postgresql_where=HAS_PROVIDER_ID,
    sqlite_where=HAS_PROVIDER_ID,
)

early_progress = Table(  # `wire.Progress` of requests that are not recorded yet
    "early_progress",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("reached", Integer, nullable=False),
    Column("not_reached", Integer, nullable=False),
    Column("open_people", Integer, nullable=False),
    PrimaryKeyConstraint("request", "open_people", "reached"),
)

receipts = Table(  # only those that no message has been found for yet
    "receipts",
    metadata,
    Column("provider", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("mark", BigInteger, nullable=False),
    Column("status", Text, nullable=False),
    Column("code", Text),
    Column("detail", Text),
    Column("kept_at", Moment, nullable=False),
    Column("billed_segments", Integer),
    Column("billed", BigInteger),
    Column("currency", String(3)),
    PrimaryKeyConstraint("provider", "provider_id", "address", "at", "mark"),
)
Index("receipts_by_age", receipts.c.kept_at)

replies = Table(  # request, n and user are null until the answered message is found
    "replies",
    metadata,
    Column("id", String(32), nullable=False),
    Column("at", Moment, nullable=False),
    Column("method", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("written_to", Text),  # the number that was written to
    Column("signature", Text),
    Column("text", Text),  # null once it is erased
    Column("opt_out", SmallInteger, nullable=False),
    Column("kept_at", Moment, nullable=False),
    Column("request", RequestId),
    Column("n", Integer),
    Column("username", Text),
    Column("user_id", RequestId),
    PrimaryKeyConstraint("id"),
)
Index("replies_by_age", replies.c.at.desc(), replies.c.id.desc())
Index("replies_by_user", replies.c.username, replies.c.at.desc(), replies.c.id.desc())
Index("replies_by_address", replies.c.address, replies.c.at.desc(), replies.c.id.desc())
IS_UNMATCHED = replies.c.request.is_(None)
Index("replies_unmatched", replies.c.kept_at, postgresql_where=IS_UNMATCHED, sqlite_where=IS_UNMATCHED)

attachments = Table(
    "attachments",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("expires_at", Moment, nullable=False),
    PrimaryKeyConstraint("request", "sha256"),
)
Index("attachments_by_age", attachments.c.expires_at)

dead = Table(
    "dead",
    metadata,
    Column("id", String(32), nullable=False),
    Column("request", Text),
    Column("method", Text),
    Column("queue", Text),
    Column("reason", Text, nullable=False),
    Column("detail", Text),
    Column("body", LargeBinary, nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("id"),
)
Index("dead_by_age", dead.c.at.desc(), dead.c.id.desc())

audit = Table(
    "audit",
    metadata,
    Column("id", String(32), nullable=False),
    Column("at", Moment, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("before", Text),  # JSON
    Column("after", Text),  # JSON
    Column("actor_id", Text),
    Column("target_id", Text),
    Column("key", Text),
    Column("address", Text),
    Column("request", Text),
    PrimaryKeyConstraint("id"),
)
Index("audit_by_age", audit.c.at.desc(), audit.c.id.desc())

events = Table(  # the outbox of events for callbacks
    "events",
    metadata,
    Column("request", RequestId, nullable=False),
    Column("n", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("events", SmallInteger, nullable=False),
    Column("username", Text, nullable=False),
    Column("user_id", RequestId, nullable=False),
    Column("method", Text, nullable=False),
    Column("written", Text),
    Column("address", Text),
    Column("status", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("provider", Text),
    Column("provider_id", Text),
    Column("code", Text),
    Column("detail", Text),
    Column("at", Moment, nullable=False),
    Column("reference", Text),
    PrimaryKeyConstraint("request", "n", "seq"),
)

tombstones = Table(  # also in Redis, for senders, and in a file outside the backups
    "tombstones",
    metadata,
    Column("id", String(32), nullable=False),  # the erasure's
    Column("digest", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    PrimaryKeyConstraint("id"),
)
Index("tombstones_by_digest", tombstones.c.digest, tombstones.c.at)

erasures = Table(  # what of them is done in this very database: a restored one lacks the newest
    "erasures",
    metadata,
    Column("id", String(32), nullable=False),
    Column("method", Text),  # null where a tombstone is all that is known
    Column("at", Moment, nullable=False),
    Column("state", Text, nullable=False),
    Column("waiting", Text, nullable=False),  # JSON: the lanes that may hold something still
    Column("remains", Text, nullable=False),  # JSON
    Column("leased_until", Moment),
    PrimaryKeyConstraint("id"),
)

DIMENSIONS = (
    "day", "user_id", "username", "department", "key", "method", "provider", "template", "category", "country",
    "currency",
)  # fmt: skip
"""The dimensions of day facts; an unknown one is an empty text. `currency` is that of `billed`."""

LATENCY_COUNTS = {
    kind: tuple(f"{kind}_in_{bucket}" for bucket in range(len(LATENCIES_S) + 1)) for kind in ("sent", "delivered")
}
COUNTS = (
    "messages", "segments", "sent", "delivered", "failed", "uncertain",
    "billed", "charged", "charged_segments", "estimated",
    *LATENCY_COUNTS["sent"], *LATENCY_COUNTS["delivered"],
)  # fmt: skip
"""`billed` is the sum of what providers named. `charged` are the messages, and `charged_segments` their segments, that
cost what the list of prices says; of `estimated` no provider has named the segments."""

day_facts = Table(  # sums of messages, kept when the messages are gone; no person is in them
    "day_facts",
    metadata,
    Column("day", String(10), nullable=False),  # in the zone of the settings when the request was recorded
    *(Column(name, Text, nullable=False) for name in DIMENSIONS[1:]),
    *(Column(name, BigInteger, nullable=False) for name in COUNTS),
    PrimaryKeyConstraint(*DIMENSIONS),
)

reports = Table(  # files of counts or of messages, made on request and kept for a day
    "reports",
    metadata,
    Column("id", String(32), nullable=False),
    Column("username", Text, nullable=False),  # its user, and what they may see
    Column("user_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("registered_at", Moment, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    Column("state", Text, nullable=False),
    Column("progress", SmallInteger, nullable=False),
    Column("rows", Integer, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("tries", SmallInteger, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("leased_until", Moment, nullable=False),  # the end of the lease of the process that makes it
    PrimaryKeyConstraint("id"),
)
Index("reports_by_user", reports.c.user_id, reports.c.created_at.desc(), reports.c.id.desc())
Index("reports_by_age", reports.c.expires_at)

report_parts = Table(
    "report_parts",
    metadata,
    Column("report", String(32), nullable=False),
    Column("n", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("report", "n"),
)
