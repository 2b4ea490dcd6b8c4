"""A job as the gateway publishes it."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient


def make_job(*to: str, at: datetime | None = None, **fields: Any) -> Job:  # noqa: ANN401  any of Job's
    """Make the job of a mail to these addresses, accepted `at`, or now, and due for an hour; `fields` set others."""
    accepted_at = at or datetime.now(UTC)
    usual: dict[str, Any] = {
        "request": secrets.token_hex(16),
        "username": "zhang",
        "user_id": "0" * 32,
        "method": "smtp",
        "lane": Lane.NORMAL if len(to) == 1 else Lane.BULK,
        "content": {"subject": "开会通知", "text": "下午两点半"},
        "recipients": tuple(Recipient(n=n, to=address, address=address) for n, address in enumerate(to)),
        "accepted_at": accepted_at,
        "expires_at": accepted_at + timedelta(hours=1),
    }
    return Job(**(usual | fields))
