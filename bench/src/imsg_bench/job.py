"""Jobs as the gateway publishes them, for floors and filled queues: made once, with the request's id filled in."""

from datetime import UTC, datetime, timedelta

from imsg_bench.deployment import CONTENT
from imsg_bench.floors.send import PLACE
from imsg_contract.topology import Lane
from imsg_contract.wire import Job, Recipient


def prebuilt(to: str = "zhang@example.com") -> bytes:
    """Encode the Job of one mail."""
    now = datetime.now(UTC)
    return Job(
        request=PLACE.decode(),
        username="admin",
        user_id="0" * 32,
        method="smtp",
        lane=Lane.NORMAL,
        content=dict(CONTENT),
        recipients=(Recipient(n=0, to=to, address=to),),
        accepted_at=now,
        expires_at=now + timedelta(hours=24),
    ).encode()
