"""API keys: made, changed, rotated, ended and listed; and when each was used last."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from imsg_auth import usernames
from imsg_auth.rows.keys import Key
from imsg_auth.rows.users import User
from imsg_auth.schemas.keys import KeyPatch, NewKey
from imsg_auth.schemas.services import KeyUse
from imsg_auth.store import Store
from imsg_auth.tables import MAX_KEYS
from imsg_auth.user_changes import LEAK_CALLER, UserChange, UserChanges
from imsg_channels import BY_NAME
from imsg_contract import api_keys
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.roles import find_forbidden_scopes, refuse_role
from imsg_contract.topology import Lane, job_key
from imsg_contract.wire import Job, Recipient
from imsg_web.callers import Caller
from imsg_web.responses import refuse_value

SMTP = BY_NAME["smtp"]

MAX_SHOWN = 80
"""Characters of an unknown id that an answer repeats."""


class ApiKeys:
    """Operations on keys: a user's on their own, an administrator's on all.

    Every method raises DatabaseUnavailable and RedisUnavailable, and then nothing was changed.
    """

    def __init__(self, store: Store, changes: UserChanges, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._changes = changes
        self._now = now

    async def add(self, actor: Caller, request: NewKey) -> tuple[Key, str]:
        """Add a key and return it with its text. Raises Refusal no_right, no_such_user, wrong_type."""
        username = actor.username if request.username is None else usernames.normal(request.username)
        if username != actor.username and not actor.is_admin:
            raise refuse_role()
        own_id = actor.user_id if username == actor.username else None
        async with self._changes.open(username, user_id=own_id) as change:
            self._require_future(request.expires_at)
            _check_scopes(request.scopes, change.user)
            text = api_keys.make(request.kind, change.user.id)
            key = Key(
                id=new_id(self._now()),
                username=username,
                digest=_digest(text),
                hint=api_keys.hint(text),
                name=request.name,
                kind=request.kind,
                scopes=tuple(request.scopes),
                networks=tuple(request.networks or ()),
                created_at=change.at,
                expires_at=request.expires_at,
            )
            await _add(change, key)
            await change.record(actor, "key_added", after=_describe(key))
        return key, text

    async def change(self, actor: Caller, key_id: str, request: KeyPatch) -> Key:
        """Set the present fields of a key and return it. Raises Refusal not_found, wrong_type."""
        key = await self._find(actor, key_id)
        values: dict[str, Any] = {name: getattr(request, name) for name in request.model_fields_set}
        async with self._changes.open(key.username) as change:
            if request.scopes is not None:
                _check_scopes(request.scopes, change.user)
            if "networks" in values:
                values["networks"] = request.networks or ()
            if "expires_at" in values:
                self._require_future(request.expires_at)
            values = {name: value for name, value in values.items() if value is not None or name == "expires_at"}
            if values:
                await change.rows.update_key(key_id, values)
            changed = await change.rows.find_key(key_id)
            if changed is None:
                raise _not_found(key_id)
            await change.record(actor, "key_changed", _describe(key), _describe(changed))
        return changed

    async def end(self, actor: Caller, key_id: str) -> None:
        """End a key at once. Raises Refusal not_found."""
        key = await self._find(actor, key_id)
        async with self._changes.open(key.username) as change:
            await change.rows.remove_key(key.id)
            await change.record(actor, "key_ended", _describe(key))

    async def end_leaked(self, text: str) -> None:
        """End a key that was found in public, and mail its owner.

        No log-in is needed, and the answer does not say whether it was a key.
        """
        parsed = api_keys.parse(text)
        if parsed is None:
            return
        async with self._store.reading() as rows:
            key = await rows.find_key_by_digest(parsed.digest)
        if key is None:
            return
        async with self._changes.open(key.username) as change:
            if await change.rows.find_key(key.id) is None:
                return
            await change.rows.remove_key(key.id)
            await change.record(LEAK_CALLER, "key_leaked", _describe(key))
            if change.user.email is not None:
                job = _make_leak_mail(key, change.user, change.user.email, change.at)
                await change.rows.add_audit_record(job.model_dump_json(), job_key(job.method, job.lane))

    async def rotate(self, actor: Caller, key_id: str, old_valid_s: int) -> tuple[Key, str]:
        """Make a key like another one, which ends after so many seconds, and return it with its text.

        Raises Refusal not_found, wrong_type.
        """
        key = await self._find(actor, key_id)
        async with self._changes.open(key.username) as change:
            old = await change.rows.find_key(key_id)
            if old is None:
                raise _not_found(key_id)
            text = api_keys.make(old.kind, change.user.id)
            new = replace(
                old,
                id=new_id(self._now()),
                digest=_digest(text),
                hint=api_keys.hint(text),
                created_at=change.at,
                last_used_at=None,
                last_used_from=None,
            )
            if old_valid_s:
                ends_at = change.at + timedelta(seconds=old_valid_s)
                if old.expires_at is None or ends_at < old.expires_at:
                    await change.rows.update_key(key_id, {"expires_at": ends_at})
            else:
                await change.rows.remove_key(key_id)
            await _add(change, new)
            await change.record(actor, "key_rotated", _describe(old), _describe(new) | {"old_valid_s": old_valid_s})
        return new, text

    async def list_page(
        self, actor: Caller, username: str | None, after: str | None, limit: int
    ) -> tuple[list[Key], bool]:
        """Read keys after an id, and whether there are more: a user's, or all that the actor may see.

        Raises Refusal no_right.
        """
        owner = None if username is None else usernames.normal(username)
        if not actor.is_admin:
            if owner not in (None, actor.username):
                raise refuse_role()
            owner = actor.username
        async with self._store.reading() as rows:
            keys = await rows.list_keys(owner, after, limit + 1)
        return keys[:limit], len(keys) > limit

    async def find_used(self, caller: Caller) -> Key | None:
        """Return the key that the caller showed; None where that was a token, or the key was ended since."""
        if caller.key is None:
            return None
        async with self._store.reading() as rows:
            return await rows.find_key(caller.key.id)

    async def find_username(self, user_id: str, digest: str) -> str:
        """Return the name of the user whose key has a digest, if it is in force. Raises Refusal token_invalid.

        A made-up key causes this call too, so it locks no row.
        """
        async with self._store.reading() as rows:
            key = await rows.find_key_by_digest(digest)
            user = None if key is None else await rows.find_user(key.username)
        if key is None or user is None or user.id != user_id or self._has_ended(key):
            raise Refusal("token_invalid")
        return user.username

    async def record_uses(self, uses: Sequence[KeyUse]) -> None:
        """Record when and from where keys were used last."""
        async with self._store.writing() as rows:
            for use in sorted(uses, key=lambda use: use.id):
                at = datetime.fromtimestamp(use.at, UTC)
                await rows.record_key_use(use.id, at, use.address)

    async def _find(self, actor: Caller, key_id: str) -> Key:
        async with self._store.reading() as rows:
            key = await rows.find_key(key_id)
        if key is None or not (actor.is_admin or key.username == actor.username):
            raise _not_found(key_id)
        return key

    def _require_future(self, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at.timestamp() <= self._now():
            raise refuse_value("expires_at", "应晚于现在", "it must be later than now")

    def _has_ended(self, key: Key) -> bool:
        return key.expires_at is not None and key.expires_at.timestamp() <= self._now()


def _make_leak_mail(key: Key, user: User, email: str, at: datetime) -> Job:
    text = (
        f"密钥“{key.name}”（{key.hint}）被报告已泄露，iMSG 已将其停用。请为使用它的程序创建新的密钥，"
        "并检查泄露期间的发送记录。\n\n"
        f"The API key “{key.name}” ({key.hint}) was reported as leaked, and iMSG has ended it. Make another key for "
        "the program that used it, and look at what was sent meanwhile.\n"
    )
    return Job(
        request=new_id(at.timestamp()),
        username=user.username,
        user_id=user.id,
        method=SMTP.name,
        lane=Lane.NORMAL,
        content={"subject": f"iMSG 密钥已停用 · API key ended ({key.name})", "text": text},
        recipients=(Recipient(n=0, to=user.username, address=email),),
        accepted_at=at,
        expires_at=at + SMTP.lifetime,
    )


async def _add(change: UserChange, key: Key) -> None:
    if await change.rows.count_keys(key.username) >= MAX_KEYS:
        raise Refusal("too_many_keys", limit=MAX_KEYS)
    await change.rows.add_key(key)


def _check_scopes(scopes: Sequence[str], user: User) -> None:
    """Refuse scopes that the user's role does not have. Raises Refusal wrong_type."""
    if beyond := find_forbidden_scopes(user.role, frozenset(scopes)):
        names = ", ".join(sorted(beyond))
        raise refuse_value(
            "scopes",
            f"角色为 {user.role} 的用户，密钥不能有 {names}；请去掉",
            f"a key of a user with the role {user.role} cannot have {names}; leave it out",
        )


def _digest(text: str) -> str:
    parsed = api_keys.parse(text)
    assert parsed is not None  # noqa: S101  it was just made
    return parsed.digest


def _describe(key: Key) -> dict[str, Any]:
    return {
        "key": key.id,
        "name": key.name,
        "kind": key.kind,
        "scopes": ",".join(key.scopes),
        "networks": ",".join(key.networks),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
    }


def _not_found(key_id: str) -> Refusal:
    return Refusal("not_found", what=key_id[:MAX_SHOWN])
