"""Senders that administrators set up: rows of auth, which the channel's senders read with its accounts.

Of mail a sender is an address, of SMS a signature.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from imsg_auth.provider_accounts import ProviderAccounts, mask
from imsg_auth.rows.senders import SenderRow
from imsg_auth.store import Rows, Store
from imsg_channels import METHODS
from imsg_channels.smtp import SMTP
from imsg_contract.addresses import read_sender
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import NamedSender, Remark, SenderDns
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.responses import refuse_unknown_name

DEFAULT = "default"
"""Names the sender of mails that name none."""

MAX_SENDERS = 200
"""The most senders of a channel."""


@dataclass(frozen=True, slots=True)
class ShownSender:
    """A sender as administrators see it."""

    method: str
    sender: NamedSender
    source: str
    """`page`, or `settings` for those of files and environment."""
    changed_at: datetime | None = None
    changed_by: str | None = None


class Senders:
    """Keeps the senders. Every method raises DatabaseUnavailable and RedisUnavailable."""

    def __init__(self, store: Store, accounts: ProviderAccounts, *, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._accounts = accounts
        self._now = now

    async def list(self) -> Sequence[ShownSender]:
        """Return the senders that are set up here, and those of the settings."""
        async with self._store.reading() as rows:
            own = await rows.list_senders()
        senders = [_show(row) for row in own]
        names = {(row.method, row.name) for row in own}
        for method in METHODS:
            channel = await self._accounts.find_channel(method)
            senders += [
                ShownSender(method, sender, "settings")
                for sender in channel.senders
                if (method, sender.name) not in names
            ]
        return sorted(senders, key=lambda managed: managed.sender.name)

    async def find(self, name: str) -> ShownSender:
        """Return a sender. Raises Refusal not_found."""
        managed = next((shown for shown in await self.list() if shown.sender.name == name), None)
        if managed is None:
            raise Refusal("not_found", what=name[:80])
        return managed

    async def require_known(self, names: Collection[str]) -> None:
        """Require that these senders exist.

        Raises Refusal wrong_type, which lists those there are; sender_away while no channel has told its own.
        """
        if not names:
            return
        known = {shown.sender.name for shown in await self.list()}
        unknown = sorted(set(names) - known)
        if unknown and not any([(await self._accounts.find_channel(method)).kinds for method in METHODS]):
            raise Refusal("sender_away", method=SMTP.name, retry_after_s=5)
        if unknown:
            raise refuse_unknown_name("senders", unknown[0], known, zh="发件人", en="sender")

    async def add(self, caller: Caller, method: str, sender: NamedSender) -> None:
        """Add a sender. Raises Refusal providers_closed, sender_exists, name_in_settings, too_many_senders."""
        await self._accounts.require_key(method)
        await self._refuse_settings(method, sender.name)
        async with self._store.writing() as rows:
            await rows.lock_accounts(method)
            own = await rows.list_senders()
            if any(row.name == sender.name for row in own):
                raise Refusal("sender_exists", name=sender.name)
            if sum(row.method == method for row in own) >= MAX_SENDERS:
                raise Refusal("too_many_senders", most=MAX_SENDERS)
            row = SenderRow(
                sender.name, method, sender.address, sender.reply_to, self._at(), caller.username, sender.signature
            )
            await rows.put_sender(row)
            await self._add_audit_record(rows, caller, "sender_added", None, row)
        await self._accounts.publish_now()

    async def change(self, caller: Caller, name: str, values: Mapping[str, str | None]) -> None:
        """Change the address, the reply-to address or the signature. Raises Refusal not_found, name_in_settings."""
        known = await self._require(name)
        async with self._store.writing() as rows:
            await rows.lock_accounts(known.method)
            before = await _read(rows, name)
            after = replace(before, **values, changed_at=self._at(), changed_by=caller.username)  # type: ignore[arg-type]
            await rows.put_sender(after)
            await self._add_audit_record(rows, caller, "sender_changed", before, after)
        await self._accounts.publish_now()

    async def remove(self, caller: Caller, name: str) -> None:
        """Remove a sender. Raises Refusal not_found, name_in_settings."""
        known = await self._require(name)
        async with self._store.writing() as rows:
            await rows.lock_accounts(known.method)
            before = await _read(rows, name)
            await rows.remove_sender(name)
            await self._add_audit_record(rows, caller, "sender_removed", before, None)
        await self._accounts.publish_now()

    async def examine_dns(self, name: str, *, english: bool) -> SenderDns:
        """Return the DNS records of a sender's domain; DEFAULT is the default sender, unless another has the name.

        Raises Refusal not_found, providers_closed, sender_away.
        """
        named = next((shown for shown in await self.list() if shown.sender.name == name), None)
        if (named is None and name != DEFAULT) or (named is not None and named.sender.signature is not None):
            raise Refusal("not_found", what=name[:80])
        address = "" if named is None else read_sender(named.sender.address)[1]
        method = SMTP.name if named is None else named.method
        report = await self._accounts.examine_domain(method, address.rpartition("@")[2], english=english)
        if report is None:
            raise Refusal("not_found", what=name[:80])
        return report

    async def check_signature(self, sender: ShownSender) -> Sequence[Remark]:
        """Return what is wrong with a signature at the accounts; nothing while no sender of the channel answers."""
        if sender.sender.signature is None:
            return ()
        try:
            return await self._accounts.check_signature(sender.method, sender.sender.signature)
        except Refusal:
            return ()

    async def _require(self, name: str) -> SenderRow:
        async with self._store.reading() as rows:
            own = await rows.list_senders()
        sender = next((row for row in own if row.name == name), None)
        if sender is None:
            await self.find(name)
            raise Refusal("name_in_settings", name=name)
        return sender

    async def _refuse_settings(self, method: str, name: str) -> None:
        if any(sender.name == name for sender in (await self._accounts.find_channel(method)).senders):
            raise Refusal("name_in_settings", name=name)

    async def _add_audit_record(
        self, rows: Rows, caller: Caller, action: str, before: SenderRow | None, after: SenderRow | None
    ) -> None:
        known = after or before
        assert known is not None  # noqa: S101  one of them is there
        change = make_change(
            caller, action, f"{known.method}/{known.name}", self._at(), before=_audit(before), after=_audit(after)
        )
        await rows.add_audit_record(change.model_dump_json())

    def _at(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)


async def _read(rows: Rows, name: str) -> SenderRow:
    sender = next((row for row in await rows.list_senders() if row.name == name), None)
    if sender is None:
        raise Refusal("not_found", what=name[:80])
    return sender


def _show(row: SenderRow) -> ShownSender:
    sender = NamedSender(name=row.name, address=row.address, reply_to=row.reply_to, signature=row.signature)
    return ShownSender(row.method, sender, "page", row.changed_at, row.changed_by)


def _audit(row: SenderRow | None) -> Mapping[str, object] | None:
    """Return what the audit keeps: no whole address."""
    if row is None:
        return None
    if row.signature is not None:
        return {"signature": row.signature}
    return {field: mask(asdict(row)[field]) for field in ("address", "reply_to")}
