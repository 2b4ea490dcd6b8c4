"""The tables that the catalog owns, as SQLAlchemy describes them; migrations/ makes them."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, Text, UniqueConstraint

MAX_ADDRESS = 254
MAX_SENDER = 64
MAX_EVIDENCE = 500
MAX_NOTE = 500

ANY = "*"
"""In `sender` and `category`: every one. Nulls would not be unique."""

METADATA = MetaData()

SUPPRESSIONS = Table(
    "suppressions",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("method", String(16), nullable=False),
    Column(
        "person", String(MAX_ADDRESS).with_variant(String(MAX_ADDRESS, collation="C"), "postgresql"), nullable=False
    ),
    Column("address", String(MAX_ADDRESS), nullable=False),
    Column("reason", String(16), nullable=False),
    Column("sender", String(MAX_SENDER), nullable=False),
    Column("category", String(16), nullable=False),
    Column("evidence", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("added_by", String(64)),
    Column("request", String(32)),
    Column("n", Integer),
    Column("until_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("method", "person", "reason", "sender", "category", name="suppressions_once"),
    Index("suppressions_until", "until_ms"),
)
"""`person` is `addresses.identity` of `address`, which is as it was written last. Times are Unix milliseconds."""

TEMPLATES = Table(
    "templates",
    METADATA,
    Column("name", String(64).with_variant(String(64, collation="C"), "postgresql"), primary_key=True),
    Column("user_id", String(32), nullable=False),
    Column("username", String(64), nullable=False),
    Column("shared", Integer, nullable=False),
    Column("latest", Integer, nullable=False),
    Column("published", Integer),
    Column("created_ms", BigInteger, nullable=False),
    Column("deleted_ms", BigInteger),
)
"""`latest` is the number of its last version, `published` of the one in force."""

TEMPLATE_VERSIONS = Table(
    "template_versions",
    METADATA,
    Column("name", String(64).with_variant(String(64, collation="C"), "postgresql"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("category", String(16), nullable=False),
    Column("default_language", String(16), nullable=False),
    Column("languages", Text, nullable=False),  # JSON
    Column("params", Text, nullable=False),  # JSON
    Column("username", String(64), nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("published_ms", BigInteger),
)
"""A version is a draft until it is first published, and does not change any more then."""

PRICES = Table(
    "prices",
    METADATA,
    Column("method", String(16), primary_key=True),
    Column("provider", String(64), primary_key=True),
    Column("country", String(2), primary_key=True),
    Column("since", String(10), primary_key=True),
    Column("per", String(8), nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
)
"""`country` is empty where a price is of every country: a primary key has no nulls."""

_EXACT = String(MAX_ADDRESS + 18).with_variant(String(MAX_ADDRESS + 18, collation="C"), "postgresql")

GROUPS = Table(
    "groups",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("user_id", String(32), nullable=False),
    Column("username", String(64), nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("note", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("last_n", BigInteger, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)
"""`size` is the number of members, which takes too long to count for a list, and `last_n` the last one's `n`."""

MEMBERS = Table(
    "group_members",
    METADATA,
    Column("group_id", String(32), primary_key=True),
    Column("n", BigInteger, primary_key=True),
    Column("contacts", Text, nullable=False),
    Column("params", Text, nullable=False),
    Column("language", String(35)),
    Column("consent_ms", BigInteger),
    Column("consent_source", Text),
    Column("since_ms", BigInteger, nullable=False),
)
"""`n` orders the members of a group. `contacts` and `params` are JSON objects.
`since_ms` is when the row was written last."""

PEOPLE = Table(
    "group_people",
    METADATA,
    Column("group_id", String(32), primary_key=True),
    Column("person", _EXACT, primary_key=True),
    Column("n", BigInteger, nullable=False),
    Index("group_people_n", "group_id", "n"),
    Index("group_people_person", "person"),
)
"""Each address of a member, `METHOD:identity`: an address is one member's within a group."""
