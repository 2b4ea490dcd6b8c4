"""Users: registered, changed, removed and listed."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any

from imsg_auth import usernames
from imsg_auth.passwords import Passwords
from imsg_auth.rows.installation_limits import InstallationLimits
from imsg_auth.rows.users import DEFAULT_QUOTAS, User, set_limit
from imsg_auth.schemas.users import Modification, Registration, UserPatch, UserRights
from imsg_auth.store import Store
from imsg_auth.tokens import new_epoch
from imsg_auth.user_changes import UserChanges
from imsg_channels import CONTACTS
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_limits.quota import PER_DAY, PER_HOUR, RECIPIENTS_PER_DAY, QuotaRow
from imsg_web.audit import hide_person
from imsg_web.callers import Caller
from imsg_web.etags import require_match
from imsg_web.responses import refuse_value
from imsg_web.schemas import MAX_TOTAL

SHOWN = ("role", "available", "per_hour", "per_day", *UserRights.model_fields, *CONTACTS)
"""What the audit shows of a user who is added or removed."""


LIMITS: Mapping[str, QuotaRow] = {
    "per_hour": PER_HOUR,
    "per_day": PER_DAY,
    "recipients_per_day": RECIPIENTS_PER_DAY,
}
"""The fields of a user that are quotas."""

RIGHTS: Mapping[str, object] = {
    field.name: field.default for field in fields(User) if field.name in UserRights.model_fields
}
"""The fields of `UserRights` that are columns, and the value of each where it is unset."""


class Users:
    """Operations of administrators on users.

    Every method raises DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
    """

    def __init__(
        self,
        store: Store,
        changes: UserChanges,
        passwords: Passwords,
        *,
        allows_documented: bool,
        audit_key: bytes = b"",
        now: Callable[[], float] = time.time,
    ) -> None:
        """Make the users; `allows_documented` allows the interface document's two users the passwords printed there.

        `audit_key` makes the digests of contacts in the audit.
        """
        self._store = store
        self._changes = changes
        self._passwords = passwords
        self._allows_documented = allows_documented
        self._audit_key = audit_key
        self._now = now

    async def register(self, actor: Caller, request: Registration) -> User:
        """Add a user and return it. Raises Refusal username_taken, contact_taken, wrong_type, not_by_key."""
        _refuse_key(actor, changes_access=request.role not in (None, "user"))
        at = self._now()
        user = User(
            id=new_id(at),
            username=request.username,
            password=await self._hash_new(request.username, "password", request.password, request),
            role=request.role or "user",
            available=True if request.available is None else request.available,
            quotas=_set_limits(DEFAULT_QUOTAS, request.model_dump(exclude_none=True)),
            phone=request.phone or None,
            email=request.email or None,
            wechat=request.wechat or None,
            epoch=new_epoch(),
            created_at=datetime.fromtimestamp(at, UTC),
            **_read_rights(request.model_dump(include=set(RIGHTS), exclude_none=True)),
        )
        await self._changes.add_user(user, actor, self._describe(user, SHOWN))
        return user

    async def modify(self, actor: Caller, username: str, request: Modification) -> None:
        """Set the limits, and `available` where it is present. Raises Refusal no_such_user."""
        values = request.model_dump(exclude_none=True)
        async with self._changes.open(_normalize(username)) as change:
            await change.set(**_write_limits(change.user, values))
            await change.record(actor, "modify", self._describe(change.user, values), values)

    async def change(self, actor: Caller, username: str, request: UserPatch, *, user_id: str | None = None) -> User:
        """Set the present fields, where None unsets, and return the user; a new password ends all of its tokens.

        With `user_id` the user must have this id, since a name may be registered again.
        Raises Refusal no_such_user, contact_taken, last_administrator, wrong_type, not_by_key.
        """
        _refuse_key(actor, changes_access=request.password is not None or request.role is not None)
        name = _normalize(username)
        values: dict[str, Any] = _read_rights(request.model_dump(exclude_unset=True, exclude={"password"}))
        for contact in CONTACTS:
            if values.get(contact) == "":
                values[contact] = None
        names = list(values)
        if request.password is not None:
            values["password"] = await self._hash_new(name, "password", request.password, request)
        ends_administrator = request.role not in (None, "admin")
        async with self._changes.open(name, user_id=user_id, may_end_administrator=ends_administrator) as change:
            if ends_administrator:
                change.require_other_admin()
            await change.set(**_write_limits(change.user, values))
            if request.password is not None:
                await change.end_tokens()
            changed = await change.rows.find_user(name)
            assert changed is not None  # noqa: S101  its row is locked
            after = self._describe(changed, names) | ({} if request.password is None else {"password": "changed"})
            await change.record(actor, "update", self._describe(change.user, names), after)
        return changed

    async def replace_quotas(
        self, actor: Caller, username: str, quotas: tuple[QuotaRow, ...], if_match: str | None
    ) -> tuple[QuotaRow, ...]:
        """Replace a user's quotas. Raises Refusal no_such_user and those of `require_match`."""
        async with self._changes.open(_normalize(username)) as change:
            require_match(if_match, change.user.quotas)
            await change.set(quotas=quotas)
            await change.record(actor, "quotas", {"quotas": _show(change.user.quotas)}, {"quotas": _show(quotas)})
        return quotas

    async def find_installation_limits(self) -> InstallationLimits:
        """Read the limits of the whole installation."""
        async with self._store.reading() as rows:
            return await rows.read_installation_limits()

    async def replace_installation_limits(
        self, actor: Caller, name: str, value: object, if_match: str | None
    ) -> InstallationLimits:
        """Replace a list of the limits; return all of them. Raises Refusal of `require_match`."""
        async with self._changes.open_installation_limits() as change:
            current = getattr(change.limits, name)
            require_match(if_match, current)
            await change.replace(name, value)
            await change.record(actor, name, {name: _show(current)}, {name: _show(value)})
        return replace(change.limits, **{name: value})  # type: ignore[arg-type]  # the schema of its route has checked it

    async def remove(self, actor: Caller, username: str) -> None:
        """Remove a user. Raises Refusal no_such_user, last_administrator."""
        async with self._changes.open(_normalize(username), may_end_administrator=True) as change:
            change.require_other_admin()
            await change.rows.remove_user(change.user.username)
            await change.record(actor, "delete", self._describe(change.user, SHOWN))

    async def set_events(self, username: str, user_id: str, events: int) -> None:
        """Set which events of a user's messages callbacks wants, from the next send on. Raises Refusal no_such_user."""
        async with self._changes.open(_normalize(username), user_id=user_id) as change:
            await change.set(events=events)

    async def reset_password(self, actor: Caller, username: str, password: str) -> None:
        """Set a password, end every token of the user, and turn one-time passwords off.

        Raises Refusal no_such_user, wrong_type.
        """
        await self._set_password(actor, _normalize(username), "password", password, None)

    async def replace_password(self, caller: Caller, user: User, password: str) -> None:
        """Set the password of `user`, unless it changed since `user` was read. Raises Refusal wrong_password."""
        await self._set_password(caller, user.username, "new", password, user)

    async def find(self, username: str, user_id: str | None = None) -> User:
        """Read a user, who must have the id `user_id` where it is given. Raises Refusal no_such_user."""
        name = _normalize(username)
        async with self._store.reading() as rows:
            user = await rows.find_user(name)
        if user is None or user_id not in (None, user.id):
            raise Refusal("no_such_user", username=name)
        return user

    async def list_page(self, after: str | None, search: str | None, limit: int) -> tuple[list[User], bool]:
        """Read users after a name, and whether there are more; `search` finds a contact in any spelling."""
        async with self._store.reading() as rows:
            users = await rows.list_users(after, _find_terms(search), limit + 1)
        return users[:limit], len(users) > limit

    async def count(self, search: str | None) -> int:
        """Count the users of all pages, `MAX_TOTAL` + 1 at most."""
        async with self._store.reading() as rows:
            return await rows.count_users(_find_terms(search), MAX_TOTAL + 1)

    async def find_contacts(self, method: str, request: Sequence[str]) -> dict[str, str | None]:
        """Return name → contact for a method; unknown users are absent.

        Every user has the contact None for a method without contacts, such as a new channel.
        """
        has_contact = method in usernames.CONTACTS
        field, _ = usernames.CONTACTS[method] if has_contact else next(iter(usernames.CONTACTS.values()))
        normal_forms = {name: usernames.normal(name) for name in request}
        wanted = sorted({name for name in normal_forms.values() if usernames.is_possible(name)})
        async with self._store.reading() as rows:
            contacts = await rows.find_contacts(field, wanted)
        known = {name: contacts[spelling] for name, spelling in normal_forms.items() if spelling in contacts}
        return known if has_contact else dict.fromkeys(known)

    async def find_holders(self, method: str, address: str) -> list[str]:
        """Return the users with an address, in any spelling, as a contact.

        Without any, deleted data is removed from the database's files, since the address is about to be erased.
        """
        if method not in usernames.CONTACTS:
            return []
        field, form = usernames.CONTACTS[method]
        contact = form.parse(address.strip())
        if contact is None:
            return []
        async with self._store.reading() as rows:
            contacts = await rows.find_holders(field, contact)
        if not contacts:
            await self._store.purge()
        return contacts

    async def find_usernames(self, method: str, addresses: Sequence[str]) -> dict[str, str]:
        """Return address → username for addresses in their normal forms; others are absent."""
        if method not in usernames.CONTACTS:
            return {}
        field, _ = usernames.CONTACTS[method]
        async with self._store.reading() as rows:
            return await rows.find_usernames(field, addresses)

    def _describe(self, user: User, names: Iterable[str]) -> dict[str, Any]:
        """Return fields of a user as the audit shows them: contacts are masked."""
        values = {name: getattr(user, name) for name in names}
        return {
            name: hide_person(value, self._audit_key) if name in CONTACTS else value for name, value in values.items()
        }

    async def _set_password(self, actor: Caller, name: str, field: str, password: str, expected: User | None) -> None:
        hashed = await self._hash_new(name, field, password)
        async with self._changes.open(name, user_id=expected.id if expected else None) as change:
            if expected is not None and change.user.password != expected.password:
                raise Refusal("wrong_password")
            await change.set(password=hashed)
            if expected is None:
                await change.set(totp_secret=None, totp_pending=None, recovery_codes=None)
            await change.end_tokens()
            await change.record(actor, "password")

    async def _hash_new(
        self, name: str, field: str, password: str, request: Registration | UserPatch | None = None
    ) -> str:
        """Check and hash a new password; the user's contacts, and those that the request sets, are known words.

        Raises Refusal wrong_type, whose text does not contain it.
        """
        shortest, longest = usernames.MIN_PASSWORD, usernames.MAX_PASSWORD
        if not (self._allows_documented and usernames.is_documented(name, password)):
            if not shortest <= len(password) <= longest:
                raise refuse_value(
                    field,
                    f"长度应为 {shortest} 到 {longest} 个字符",
                    f"it must have {shortest} to {longest} characters",
                )
            async with self._store.reading() as rows:
                user = await rows.find_user(name)
            contacts = [getattr(source, contact) for source in (user, request) if source for contact in CONTACTS]
            if await self._passwords.is_common(password, name, *filter(None, contacts)):
                raise refuse_value(
                    field,
                    "这个密码太常见，或只是一个词加上年份、数字，很容易被猜到，请换一个，例如由几个不相关的词组成",
                    "it is a common password, or a word with a year or digits, which is guessed early; choose another, "
                    "such as some unrelated words",
                )
        return await self._passwords.hash(password)


def _refuse_key(actor: Caller, *, changes_access: bool) -> None:
    """Refuse what no key may do: set passwords and roles. Raises Refusal not_by_key."""
    if actor.key is not None and changes_access:
        raise Refusal("not_by_key")


def _read_rights(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of given fields."""
    columns: dict[str, Any] = {name: RIGHTS.get(name) if value is None else value for name, value in values.items()}
    if columns.get("senders") is not None:
        columns["senders"] = ",".join(sorted(set(columns["senders"])))
    return columns


def _show(rows: object) -> object:
    """Return rows of a table as JSON has them; other lists are JSON already."""
    return [row._asdict() for row in rows] if isinstance(rows, tuple) else rows


def _set_limits(quotas: Sequence[QuotaRow], values: Mapping[str, Any]) -> tuple[QuotaRow, ...]:
    for name in LIMITS.keys() & values.keys():
        quotas = set_limit(quotas, LIMITS[name], values[name])
    return tuple(quotas)


def _write_limits(user: User, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a change, with the quotas in place of the limits."""
    columns = {name: value for name, value in values.items() if name not in LIMITS}
    quotas = _set_limits(user.quotas, values)
    return columns if quotas == user.quotas else {**columns, "quotas": quotas}


def _find_terms(search: str | None) -> set[str]:
    """Return the spellings by which a part of a name or contact is looked for; empty: all users fit."""
    if not search:
        return set()
    normal_forms = (address.parse(search) for _, address in usernames.CONTACTS.values())
    return {usernames.normal(search), *(spelling for spelling in normal_forms if spelling is not None)}


def _normalize(username: str) -> str:
    """Return the normal form of a name. Raises Refusal no_such_user for a name that no user can have."""
    name = usernames.normal(username)
    if not usernames.is_possible(name):
        raise Refusal("no_such_user", username=name[:80].replace("\0", ""))
    return name
