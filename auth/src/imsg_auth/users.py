"""The users: registered, changed, removed, listed."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from imsg_auth import usernames
from imsg_auth.passwords import Passwords
from imsg_auth.schemas import PER_DAY, PER_HOUR, Modification, Registration, UserPatch
from imsg_auth.store import Store, User
from imsg_auth.tokens import new_epoch
from imsg_auth.user_changes import UserChanges
from imsg_channels import CONTACTS
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_web.callers import Caller


class Users:
    """What administrators do with users.

    Everything raises DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
    """

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        passwords: Passwords,
        *,
        documented: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`documented` says whether the document's two users may have the passwords printed there (nowhere exposed)."""
        self._store = store
        self._changes = changes
        self._passwords = passwords
        self._documented = documented
        self._now = now

    async def register(self, actor: Caller, asked: Registration) -> None:
        """Add a user. Raises Refusal username_taken, contact_taken, wrong_type."""
        at = self._now()
        user = User(
            id=new_id(at),
            username=asked.username,
            password=await self._hash(asked.username, "password", asked.password),
            role=asked.role or "user",
            available=True if asked.available is None else asked.available,
            per_hour=PER_HOUR if asked.per_hour is None else asked.per_hour,
            per_day=PER_DAY if asked.per_day is None else asked.per_day,
            recipients_per_day=None,
            phone=asked.phone or None,
            email=asked.email or None,
            wechat=asked.wechat or None,
            epoch=new_epoch(),
            created_at=datetime.fromtimestamp(at, UTC),
        )
        details = {name: getattr(user, name) for name in ("role", "available", "per_hour", "per_day")}
        contacts = [name for name in CONTACTS if getattr(user, name) is not None]
        await self._changes.add(user, actor, {**details, "contacts": contacts})

    async def modify(self, actor: Caller, username: str, asked: Modification) -> None:
        """Set the limits, and `available` if it is said. Raises Refusal no_such_user."""
        values = asked.model_dump(exclude_none=True)
        async with self._changes.of(_normalize(username)) as change:
            await change.set(**values)
            await change.note(actor, "modify", **values)

    async def change(self, actor: Caller, username: str, asked: UserPatch) -> User:
        """Set what is said and return the user as it is then; a new password ends every token of the user.

        Raises Refusal no_such_user, contact_taken, last_administrator, wrong_type.
        """
        name = _normalize(username)
        values: dict[str, Any] = asked.model_dump(exclude_none=True, exclude={"password"})
        for contact in CONTACTS:
            if values.get(contact) == "":
                values[contact] = None
        if values.get("recipients_per_day") == "none":
            values["recipients_per_day"] = None
        if "senders" in values:
            values["senders"] = None if asked.senders == "all" else ",".join(sorted(set(asked.senders or ())))
        details = {key: value for key, value in values.items() if key not in CONTACTS}
        details["contacts"] = [contact for contact in CONTACTS if contact in values]
        if asked.password is not None:
            values["password"] = await self._hash(name, "password", asked.password)
            details["password"] = True
        async with self._changes.of(name, may_end_administrator=asked.role == "user") as change:
            if asked.role == "user":
                change.keep_an_administrator()
            await change.set(**values)
            if asked.password is not None:
                await change.end_tokens()
            await change.note(actor, "update", **details)
            changed = await change.rows.user(name)
            assert changed is not None  # noqa: S101  its row is locked
        return changed

    async def remove(self, actor: Caller, username: str) -> None:
        """Remove a user. Raises Refusal no_such_user, last_administrator."""
        async with self._changes.of(_normalize(username), may_end_administrator=True) as change:
            change.keep_an_administrator()
            await change.rows.remove(change.user.username)
            await change.note(actor, "delete")

    async def set_events(self, username: str, user_id: str, events: int) -> None:
        """Say which events of a user's messages are wanted, from the next send on. Raises Refusal no_such_user."""
        async with self._changes.of(_normalize(username), user_id=user_id) as change:
            await change.set(events=events)

    async def reset_password(self, actor: Caller, username: str, password: str) -> None:
        """Set a password and end every token of the user. Raises Refusal no_such_user, wrong_type."""
        await self._set_password(actor, _normalize(username), "password", password, None)

    async def replace_password(self, caller: Caller, user: User, password: str) -> None:
        """Set a user's own new password, unless it was changed since `user` was read. Raises Refusal wrong_password."""
        await self._set_password(caller, user.username, "new", password, user)

    async def find(self, username: str, user_id: str | None = None) -> User:
        """Read a user; with `user_id` that very one. Raises Refusal no_such_user."""
        name = _normalize(username)
        async with self._store.reading() as rows:
            user = await rows.user(name)
        if user is None or user_id not in (None, user.id):
            raise Refusal("no_such_user", username=name)
        return user

    async def page(self, after: str | None, search: str | None, limit: int) -> tuple[list[User], bool]:
        """Read users after a name, and whether there are more; `search` finds a contact by any of its spellings."""
        terms = set()
        if search:
            spelled = (address.parse(search) for _, address in usernames.CONTACTS.values())
            terms = {usernames.normal(search), *(spelling for spelling in spelled if spelling is not None)}
        async with self._store.reading() as rows:
            users = await rows.page(after, terms, limit + 1)
        return users[:limit], len(users) > limit

    async def contacts(self, method: str, asked: Sequence[str]) -> dict[str, str | None]:
        """Read the contacts a method sends to, by the names as they were asked; who does not exist is absent.

        A method that users have no contact of (a new channel) gives None for everybody who exists.
        """
        has_contact = method in usernames.CONTACTS
        field, _ = usernames.CONTACTS[method] if has_contact else next(iter(usernames.CONTACTS.values()))
        spelled = {name: usernames.normal(name) for name in asked}
        wanted = sorted({name for name in spelled.values() if usernames.can_be(name)})
        async with self._store.reading() as rows:
            found = await rows.contacts(field, wanted)
        known = {name: found[spelling] for name, spelling in spelled.items() if spelling in found}
        return known if has_contact else dict.fromkeys(known)

    async def holders(self, method: str, address: str) -> list[str]:
        """Name the users whose contact an address is, in any spelling of it.

        Of an address that is nobody's (any more) nothing is left in the database's files: it is about to be erased.
        """
        if method not in usernames.CONTACTS:
            return []
        field, form = usernames.CONTACTS[method]
        contact = form.parse(address.strip())
        if contact is None:
            return []
        async with self._store.reading() as rows:
            found = await rows.holders(field, contact)
        if not found:
            await self._store.purge()
        return found

    async def usernames(self, method: str, addresses: Sequence[str]) -> dict[str, str]:
        """Name the users whose contacts these addresses are, each in its normal form; others are absent."""
        if method not in usernames.CONTACTS:
            return {}
        field, _ = usernames.CONTACTS[method]
        async with self._store.reading() as rows:
            return await rows.usernames(field, addresses)

    async def _set_password(self, actor: Caller, name: str, field: str, password: str, expected: User | None) -> None:
        hashed = await self._hash(name, field, password)
        async with self._changes.of(name, user_id=expected.id if expected else None) as change:
            if expected is not None and change.user.password != expected.password:
                raise Refusal("wrong_password")
            await change.set(password=hashed)
            await change.end_tokens()
            await change.note(actor, "password")

    async def _hash(self, name: str, field: str, password: str) -> str:
        """Hash a password that may be set. Raises Refusal wrong_type, which does not hold it."""
        least, most = usernames.MIN_PASSWORD, usernames.MAX_PASSWORD
        if not (self._documented and usernames.is_documented(name, password)):
            if not least <= len(password) <= most:
                raise _refuse(field, f"长度应为 {least} 到 {most} 个字符", f"it must have {least} to {most} characters")
            if await self._passwords.is_common(password, name):
                raise _refuse(
                    field,
                    "这是常见密码，很容易被猜到，请换一个，例如由几个不相关的词组成",
                    "it is a common password, which is guessed early; choose another, such as some unrelated words",
                )
        return await self._passwords.hash(password)


def _refuse(field: str, why_zh: str, why_en: str) -> Refusal:
    return Refusal("wrong_type", field=field, why_zh=why_zh, why_en=why_en)


def _normalize(username: str) -> str:
    """Return the normal form of a name that is asked for. Raises Refusal no_such_user for what can't exist."""
    name = usernames.normal(username)
    if not usernames.can_be(name):
        raise Refusal("no_such_user", username=name[:80].replace("\0", ""))
    return name
