"""Log-in, log-out, and a user's own password."""

import time
from collections.abc import Callable

from imsg_auth import usernames
from imsg_auth.login_failures import LoginFailures
from imsg_auth.passwords import Passwords
from imsg_auth.store import Store, User
from imsg_auth.tokens import Issued, Tokens
from imsg_auth.user_changes import UserChanges
from imsg_auth.users import Users
from imsg_contract import tokens
from imsg_contract.errors import Refusal
from imsg_web.callers import Caller


class Sessions:
    """What users do for themselves. Everything raises DatabaseUnavailable and RedisUnavailable."""

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        passwords: Passwords,
        issuer: Tokens,
        users: Users,
        *,
        failures: LoginFailures,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._changes = changes
        self._passwords = passwords
        self._issuer = issuer
        self._users = users
        self._failures = failures
        self._now = now

    async def log_in(self, username: str, password: str, address: str) -> Issued:
        """Give a token to who knows the password. Raises Refusal no_such_user, wrong_password, too_many_tries."""
        name = usernames.normal(username)
        user = None
        if usernames.can_be(name):
            async with self._store.reading() as rows:
                user = await rows.user(name)
        try:
            known = await self._check(name, user, password, address)
        except Refusal as refusal:
            await self._failures.note(refusal, user, address)
            raise
        self._failures.count_success()
        if self._passwords.is_outdated(known.password):
            renewed = await self._passwords.hash(password)
            async with self._store.writing() as rows:
                await rows.replace_hash(name, known.password, renewed)
        return self._issuer.issue(known)

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
        given = tokens.parse(token)
        if given is None or given.username != caller.username:
            raise Refusal("token_invalid")
        async with self._changes.of(caller.username, user_id=caller.user_id) as change:
            await change.rows.revoke(caller.username, given.nonce, given.expiry, int(self._now()))
            await change.note(caller, "logout")

    async def log_out_everywhere(self, caller: Caller) -> None:
        """End every token of the user."""
        async with self._changes.of(caller.username, user_id=caller.user_id) as change:
            await change.end_tokens()
            await change.note(caller, "logout_everywhere")

    async def change_password(self, caller: Caller, old: str, new: str, address: str) -> Issued:
        """Set another password, end every token of the user, and give a new one in place of the caller's.

        Raises Refusal wrong_password, too_many_tries, wrong_type.
        """
        user = await self._users.find(caller.username, caller.user_id)
        if not await self._passwords.check(user.username, address, user.password, old, user.id):
            raise Refusal("wrong_password")
        await self._users.replace_password(caller, user, new)
        return self._issuer.issue(await self._users.find(user.username, user.id))
