"""Hard bounces: refusals that say that an address does not exist, which suppress it (ADR 39)."""

import asyncio
import re
from datetime import UTC, datetime

from imsg_broker.port import Broker, PublishRefused, PublishUnknown
from imsg_contract.results import Refused
from imsg_contract.suppressions import Reason, Suppression
from imsg_contract.wire import Job, Recipient
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_smtp.unknown_users import gives_other_reason, names_unknown_user

log = logger(__name__)

PUBLISH_TIMEOUT_S = 4.0

_HARD = re.compile(r"5\d\d 5\.(?:1\.(?!(?:7|8)$)\d{1,3}|2\.1)", re.ASCII)
"""RFC 3463, 3.2: 5.1.x is about the recipient's address, but 5.1.7 and 5.1.8 about the sender's; 3.3: 5.2.1 is a
disabled mailbox, 5.2.2 a full one. 5.7.x is a policy."""

_RESERVED = re.compile(r"@(.+\.)?(example\.(com|net|org)|example|test|invalid|localhost)", re.ASCII | re.IGNORECASE)
"""RFC 2606: reserved names. They serve for trials, which must give the same result each time."""


def can_be_real(address: str) -> bool:
    """Return whether an address can be a real person's: its domain is not reserved."""
    return _RESERVED.fullmatch(address[address.rfind("@") :]) is None


def is_hard(code: str, text: str) -> bool:
    """Return whether a refusal says that the address does not exist: by its code (`550 5.1.1`) or its text.

    A text with another reason (policy, spam, quota, content) outweighs the code.
    """
    if not code.startswith("5"):
        return False
    return names_unknown_user(text) or (_HARD.fullmatch(code) is not None and not gives_other_reason(text))


class HardBounces:
    """Publishes hard bounces to the catalog."""

    def __init__(self, broker: Broker) -> None:
        self._problem = RecurringProblem(log, "hard_bounces_not_published", quiet_s=QUIET_S)
        self._broker = broker

    async def report(self, job: Job, recipient: Recipient, refused: Refused) -> None:
        """Publish the suppression of an address that does not exist, unless its domain is reserved.

        Without the broker the failure is logged: the next refusal publishes it again.
        """
        if not can_be_real(recipient.address):
            return
        suppression = Suppression(
            method=job.method,
            address=recipient.address,
            reason=Reason.HARD_BOUNCE,
            evidence=refused.detail,
            request=job.request,
            n=recipient.n,
            at=datetime.now(UTC),
        )
        with self._problem.catch(PublishRefused, PublishUnknown, TimeoutError):
            async with asyncio.timeout(PUBLISH_TIMEOUT_S):
                await self._broker.publish(suppression.encode(), self._broker.topology.suppressions)
