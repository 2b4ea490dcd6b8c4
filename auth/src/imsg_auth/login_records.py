"""Log-ins as operators see them: a metric of each result, a log line of each that failed, and a bounded audit."""

from prometheus_client import CollectorRegistry, Counter

from imsg_auth.rows.users import User
from imsg_auth.user_changes import UserChanges
from imsg_contract.errors import Refusal
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.quota import Counters
from imsg_runtime.logs import QUIET_S, RecurringProblem, logger
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.callers import MAX_ADDRESS

log = logger(__name__)

MINUTE_S = 60
AUDITED_A_MINUTE = 30
"""Audit records of failed log-ins in all: one a minute an account, and no more than this, however many guess."""

RESULTS = ("right", "wrong_password", "no_such_user", "too_many_tries", "otp_required", "otp_wrong", "unavailable")


class LoginRecords:
    """Counts, logs and audits log-ins."""

    def __init__(self, registry: CollectorRegistry, counters: Counters, changes: UserChanges) -> None:
        self._problem = RecurringProblem(log, "login_failures_not_audited", quiet_s=QUIET_S)
        self._counters = counters
        self._changes = changes
        self._results = Counter("imsg_logins", "Log-ins by their result", ("result",), registry=registry)
        for result in RESULTS:
            self._results.labels(result)

    async def record_success(self, user: User, address: str) -> None:
        """Count a log-in that went through, and record it. Raises DatabaseUnavailable."""
        self._results.labels("right").inc()
        await self._changes.record_login(user, address[:MAX_ADDRESS])

    async def record_refusal(self, refusal: Refusal, user: User | None, address: str) -> None:
        """Record a refused log-in; an unknown name is not logged, since it may be a password."""
        self._results.labels(refusal.reason).inc()
        name = None if user is None else user.username
        log.warning("login_failed", reason=refusal.reason, username=name, address=address[:MAX_ADDRESS])
        if refusal.reason == "unavailable":
            return
        with self._problem.catch(RedisUnavailable, RedisRefused, DatabaseUnavailable):
            if await self._may_audit(user):
                await self._changes.record_failed_login(user, refusal.reason, address[:MAX_ADDRESS])

    async def _may_audit(self, user: User | None) -> bool:
        name = "" if user is None else user.id
        if (await self._counters.add(f"login-audit:{name}", 1, MINUTE_S)).count > 1:
            return False
        return (await self._counters.add("login-audit", 1, MINUTE_S)).count <= AUDITED_A_MINUTE
