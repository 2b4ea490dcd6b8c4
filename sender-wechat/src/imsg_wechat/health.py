"""Whether an official account may be used now: what was refused for all is not asked again for each."""

import time
from collections.abc import Callable
from dataclasses import replace

from imsg_contract.wire import Again, Blocked, Result, Unknown
from imsg_delivery.circuit_breaker import Breaker
from imsg_wechat.codes import PROVIDER

FAILURES = 5
COOL_OFF_S = 15.0


class Health:
    """What is known of one account."""

    def __init__(self, account: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._account = account
        self._clock = clock
        self._breaker = Breaker(FAILURES, COOL_OFF_S, clock)
        self._why = ""
        self._refusal: Blocked | None = None
        self._refused_until = 0.0

    def find_block(self) -> Blocked | None:
        """Say for how long the account is to be left alone, if it is. Ask once before each try (see Breaker)."""
        left_s = self._refused_until - self._clock()
        if self._refusal is not None and left_s > 0:
            return replace(self._refusal, after_s=left_s)
        left_s = self._breaker.claim_try()
        if left_s > 0:
            why = f"WeChat is left alone after failures in a row. {self._why}"
            return Blocked(PROVIDER, self._account, "away", why, left_s)
        return None

    def note(self, result: Result) -> None:
        """Note what came of a try: any whole answer is a sign of health, a no to one recipient included."""
        if isinstance(result, Blocked):
            self._refusal = result
            self._refused_until = self._clock() + result.after_s
        elif isinstance(result, Again | Unknown) and not result.code.lstrip("-").isdigit():
            self._why = result.detail
            self._breaker.note_failure()
        else:
            self._breaker.note_success()
