"""The settings of PostgreSQL sessions."""

from dataclasses import dataclass

CONNECT_TIMEOUT_S = 3
"""How long connecting to one host may take, or the wait for a connection of the pool."""

UNREPLICATED = "imsg_unreplicated"
"""The key in a connection's info: whether a commit was not confirmed by the synchronous standby."""


@dataclass(frozen=True, slots=True)
class Session:
    """The settings of each session."""

    name: str
    """`application_name`."""
    bounds_ms: dict[str, int]
    """Timeouts of statements and transactions: name of the setting → milliseconds."""
