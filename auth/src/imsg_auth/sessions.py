"""Log-in, log-out, and a user's own password."""

import time
from collections.abc import Callable

from imsg_auth import usernames
from imsg_auth.login_records import LoginRecords
from imsg_auth.passwords import Passwords
from imsg_auth.rows.users import User
from imsg_auth.store import Store
from imsg_auth.tokens import IssuedToken, Tokens
from imsg_auth.totp import Totp
from imsg_auth.user_changes import UserChanges
from imsg_auth.users import Users
from imsg_contract import tokens
from imsg_contract.errors import Refusal
from imsg_web.callers import Caller


class Sessions:
    """Operations of users on their own tokens and password; each raises DatabaseUnavailable and RedisUnavailable."""

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        passwords: Passwords,
        issuer: Tokens,
        users: Users,
        *,
        totp: Totp,
        records: LoginRecords,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._changes = changes
        self._passwords = passwords
        self._issuer = issuer
        self._users = users
        self._totp = totp
        self._records = records
        self._now = now

    async def log_in(self, username: str, password: str, address: str, otp: str | None = None) -> IssuedToken:
        """Issue a token for a right password, and a right one-time password where the user has them.

        Raises Refusal no_such_user, wrong_password, too_many_tries, otp_required, otp_wrong.
        """
        name = usernames.normal(username)
        user = None
        if usernames.is_possible(name):
            async with self._store.reading() as rows:
                user = await rows.find_user(name)
        try:
            checked = await self._check(name, user, password, address)
            await self._totp.check(checked, otp)
        except Refusal as refusal:
            await self._records.record_refusal(refusal, user, address)
            raise
        await self._records.record_success(checked, address)
        if self._passwords.is_outdated(checked.password):
            new_hash = await self._passwords.hash(password)
            async with self._store.writing() as rows:
                await rows.replace_hash(name, checked.password, new_hash)
        return self._issuer.issue(checked)

    async def _check(self, name: str, user: User | None, password: str, address: str) -> User:
        hashed, user_id = (None, None) if user is None else (user.password, user.id)
        is_right = await self._passwords.check(name, address, hashed, password, user_id)
        if user is None:
            raise Refusal("no_such_user", username=name[:80])
        if not is_right:
            raise Refusal("wrong_password")
        return user

    async def log_out(self, caller: Caller, token: str) -> None:
        """End one token. Raises Refusal token_invalid."""
        parsed = tokens.parse(token)
        if parsed is None or parsed.username != caller.username:
            raise Refusal("token_invalid")
        async with self._changes.open(caller.username, user_id=caller.user_id) as change:
            await change.rows.revoke(caller.username, parsed.nonce, parsed.expiry, int(self._now()))
            await change.record(caller, "logout")

    async def log_out_everywhere(self, caller: Caller) -> None:
        """End every token of the user."""
        async with self._changes.open(caller.username, user_id=caller.user_id) as change:
            await change.end_tokens()
            await change.record(caller, "logout_everywhere")

    async def change_password(self, caller: Caller, old: str, new: str, address: str) -> IssuedToken:
        """Set another password, end every token of the user, and issue a new one.

        Raises Refusal wrong_password, too_many_tries, wrong_type.
        """
        user = await self._users.find(caller.username, caller.user_id)
        if not await self._passwords.check(user.username, address, user.password, old, user.id):
            raise Refusal("wrong_password")
        await self._users.replace_password(caller, user, new)
        return self._issuer.issue(await self._users.find(user.username, user.id))
