"""What a session with PostgreSQL is to be."""

from dataclasses import dataclass

CONNECT_TIMEOUT_S = 3
"""How long a connection to one host may take to come about, or one of the pool to become free."""

UNREPLICATED = "imsg_unreplicated"
"""In a connection's info once a commit came back that no synchronous standby had confirmed."""


@dataclass(frozen=True, slots=True)
class Session:
    """What is asked of each session."""

    name: str
    """What PostgreSQL shows as the application."""
    bounds_ms: dict[str, int]
    """Settings that bound statements and transactions, in milliseconds."""
