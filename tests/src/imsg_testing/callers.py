"""Users who call internal routes, each with the id that goes with the name."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from imsg_web.callers import Caller

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def user(username: str = "天存-system-1001", **given: Any) -> Caller:  # noqa: ANN401  any field of a Caller
    """Make a calling user; the id follows from the name, as it does in `imsg_testing.history.job`."""
    return Caller(username, **{"role": "user", "user_id": id_of(username), "since": EPOCH, **given})


def id_of(username: str) -> str:
    """Return the id of the user who has a name first."""
    return hashlib.sha256(username.encode()).hexdigest()[:32]
