"""The second step of a log-in: one-time passwords (RFC 6238) of an authenticator app, and recovery codes."""

import base64
import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyotp
from pydantic import SecretStr

from imsg_auth.rows.users import User
from imsg_auth.store import Store
from imsg_auth.user_changes import UserChanges
from imsg_contract.errors import Refusal
from imsg_limits.quota import Counters
from imsg_runtime.sealing import Sealer
from imsg_web.callers import Caller

ISSUER = "iMSG"
STEP_S = 30
DRIFT_STEPS = 1
"""How many steps the clock of a phone may be ahead or behind."""

RECOVERY_CODES = 10
RECOVERY_BYTES = 5
"""Eight letters and digits of base32: 40 bits, and few tries an hour."""

TRIES = 10
"""Wrong one-time passwords of a user an hour; the password was right each time."""
HOUR_S = 3_600


@dataclass(frozen=True, slots=True)
class NewSecret:
    """A secret to be entered into an authenticator app."""

    secret: str
    uri: str


class Totp:
    """Turns the second step on and off, and checks it.

    Every method raises DatabaseUnavailable, and those that change a user RedisUnavailable.
    """

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        counters: Counters,
        keys: Sequence[SecretStr],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`keys` seal the secrets: the first seals, all open."""
        self._store = store
        self._changes = changes
        self._counters = counters
        self._sealer = Sealer(keys, "one-time passwords")
        self._now = now

    async def begin(self, caller: Caller) -> NewSecret:
        """Make a secret, which counts once it is confirmed. Raises Refusal totp_on."""
        secret = pyotp.random_base32()
        async with self._changes.open(caller.username, user_id=caller.user_id) as change:
            if change.user.totp_secret is not None:
                raise Refusal("totp_on")
            await change.set(totp_pending=self._sealer.seal(secret, change.user.id))
            await change.record(caller, "totp_begun")
        return NewSecret(secret, pyotp.TOTP(secret).provisioning_uri(name=caller.username, issuer_name=ISSUER))

    async def confirm(self, caller: Caller, otp: str) -> list[str]:
        """Enable the second step, and return the recovery codes, once. Raises Refusal totp_not_begun, otp_wrong."""
        codes = [base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
        async with self._changes.open(caller.username, user_id=caller.user_id) as change:
            user = change.user
            if user.totp_pending is None or user.totp_secret is not None:
                raise Refusal("totp_not_begun")
            step = self._find_step(self._sealer.open(user.totp_pending, user.id), otp, user.totp_step)
            if step is None:
                raise Refusal("otp_wrong")
            digests = ",".join(_digest(code) for code in codes)
            await change.set(totp_secret=user.totp_pending, totp_pending=None, totp_step=step, recovery_codes=digests)
            await change.record(caller, "totp_on")
        return codes

    async def remove(self, caller: Caller, username: str, user_id: str | None = None) -> None:
        """Disable the second step of a user. Raises Refusal no_such_user."""
        async with self._changes.open(username, user_id=user_id) as change:
            await change.set(totp_secret=None, totp_pending=None, recovery_codes=None)
            await change.record(caller, "totp_off")

    async def seal_again(self) -> None:
        """Seal every secret under the first key, at start: the others may be taken away after it."""
        async with self._store.writing() as rows:
            for user in await rows.list_users_with_totp():
                sealed = user.totp_secret or ""
                if not self._sealer.is_fresh(sealed, user.id):
                    secret = self._sealer.open(sealed, user.id)
                    if secret is not None:
                        await rows.update_user(user.username, {"totp_secret": self._sealer.seal(secret, user.id)})

    async def check(self, user: User, otp: str | None) -> None:
        """Check the second step of a user whose password was right; each one-time password counts once.

        Raises Refusal otp_required, otp_wrong, too_many_tries; RedisUnavailable.
        """
        if user.totp_secret is None:
            return
        if not otp:
            raise Refusal("otp_required")
        tally = f"otp:{user.id}"
        tries = await self._counters.read(tally)
        if tries.count >= TRIES:
            after_s = max(1, round(tries.ends_in_s))
            zh, en = "错误的一次性密码", "wrong one-time passwords"
            raise Refusal("too_many_tries", what_zh=zh, what_en=en, after=after_s, retry_after_s=after_s)
        if not await self._use(user, otp):
            await self._counters.add(tally, 1, HOUR_S)
            raise Refusal("otp_wrong")

    async def _use(self, user: User, otp: str) -> bool:
        """Return whether a one-time password or a recovery code holds, and note that it was used."""
        async with self._store.writing() as rows:
            known = await rows.lock_user(user.username)
            if known is None or known.id != user.id or known.totp_secret is None:
                return False
            step = self._find_step(self._sealer.open(known.totp_secret, known.id), otp, known.totp_step)
            if step is not None:
                await rows.update_user(known.username, {"totp_step": step})
                return True
            codes, digest = (known.recovery_codes or "").split(","), _digest(otp)
            if digest not in codes:
                return False
            codes.remove(digest)
            await rows.update_user(known.username, {"recovery_codes": ",".join(codes)})
        return True

    def _find_step(self, secret: str | None, otp: str, used: int | None) -> int | None:
        """Return the time step of a one-time password, where it is later than the last that was used."""
        if secret is None:
            return None
        otp, totp, now = otp.replace(" ", ""), pyotp.TOTP(secret, interval=STEP_S), int(self._now()) // STEP_S
        for step in range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1):
            at = datetime.fromtimestamp(step * STEP_S, UTC)
            if (used is None or step > used) and pyotp.utils.strings_equal(totp.at(at), otp):
                return step
        return None


def _digest(code: str) -> str:
    return hashlib.sha256(code.replace(" ", "").strip().lower().encode()).hexdigest()
