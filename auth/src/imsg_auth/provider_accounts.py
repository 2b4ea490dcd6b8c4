"""Accounts at providers, which administrators set up in the web page: kept sealed, in versions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from imsg_auth.account_publisher import AccountPublisher, list_former
from imsg_auth.account_vault import AccountVault
from imsg_auth.rows.providers import AccountVersion, RemovedAccount, Switch
from imsg_auth.sender_calls import SenderCalls
from imsg_auth.store import Rows, Store
from imsg_channels import BY_NAME, METHODS
from imsg_contract.errors import Refusal
from imsg_contract.ids import new_id
from imsg_contract.provider_accounts import (
    Attention,
    ChannelProviders,
    Kind,
    ProviderAccount,
    ProviderCheck,
    Remark,
    SenderDns,
    ShownAccount,
)
from imsg_web.audit import make_change
from imsg_web.callers import Caller
from imsg_web.responses import refuse_fields

MAX_ACCOUNTS = 50
"""The most accounts of a channel."""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider as administrators see it: its settings have no secret."""

    method: str
    name: str
    kind: str
    settings: Mapping[str, Any]
    source: str
    """`page`, or `settings` for those of files and environment."""
    enabled: bool | None
    weight: int | None
    simulated: bool = False
    version: int | None = None
    changed_at: datetime | None = None
    changed_by: str | None = None
    attention: Sequence[Attention] = ()
    """What a sender has found that a person has to attend to."""
    conditions: Mapping[str, str] = field(default_factory=dict)
    """Those of its settings that say what it is used for, with their names in the API."""


class ProviderAccounts:
    """Keeps the accounts, and asks senders about them. Every method raises DatabaseUnavailable and RedisUnavailable."""

    def __init__(
        self,
        store: Store,
        vault: AccountVault,
        senders: SenderCalls,
        publisher: AccountPublisher,
        *,
        wake: Callable[[], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`wake` is called for a new audit record."""
        self._store = store
        self._vault = vault
        self._senders = senders
        self._publisher = publisher
        self._wake = wake
        self._now = now

    @property
    def methods(self) -> Sequence[str]:
        """The channels whose accounts can be set up here."""
        return self._senders.methods if self._vault.is_open else ()

    async def find_channel(self, method: str) -> ChannelProviders:
        """Return what the senders of a channel publish about its providers."""
        return await self._senders.find_channel(method)

    async def publish_now(self) -> None:
        """Publish a change and its audit record at once."""
        self._wake()
        await self._publisher.publish_now()

    async def list_kinds(self) -> Mapping[str, Sequence[Kind]]:
        """Return the kinds of accounts by channels, as their senders describe them."""
        return {method: (await self._senders.find_channel(method)).kinds for method in self.methods}

    async def list(self) -> Sequence[Provider]:
        """Return all providers."""
        async with self._store.reading() as rows:
            accounts, switches = await rows.list_accounts(), await rows.list_switches()
        by_name = {(switch.method, switch.name): switch for switch in switches}
        providers: list[Provider] = []
        for method in METHODS:
            channel = await self._senders.find_channel(method)
            own = [account for account in accounts if account.method == method and method in self.methods]
            names = {account.name for account in own}
            shown = [
                _show_own(method, account, by_name.get((method, account.name)), channel.kinds)
                for account in channel.settings
                if account.name not in names and not (account.simulated and own)  # the sandbox gives way
            ]
            shown += [self._show(account, channel.kinds, by_name.get((method, account.name))) for account in own]
            attention = await self._senders.read_attention(method)
            providers += [replace(provider, attention=attention.get(provider.name, ())) for provider in shown]
        return providers

    async def find(self, method: str, name: str, switch: Switch | None = None) -> Provider:
        """Return a provider; with its switch also one that no sender describes. Raises Refusal not_found."""
        for provider in await self.list():
            if (provider.method, provider.name) == (method, name):
                return provider
        if switch is None:
            raise _refuse_unknown(method, name)
        return _show_own(method, ShownAccount(name=name, kind="", settings={}), switch, ())

    async def find_keys(self, method: str, routes: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return conditions as accounts of a channel keep them."""
        keys = {name: key for key, name in _list_conditions((await self._senders.find_channel(method)).kinds).items()}
        return {keys.get(name, name): value for name, value in routes.items()}

    async def add(self, caller: Caller, method: str, name: str, kind: str, settings: Mapping[str, Any]) -> None:
        """Add an account. Raises Refusal providers_closed, name_in_settings, name_taken, unavailable or wrong_type."""
        account = ProviderAccount(name=name, kind=kind, settings=_drop_unset(settings))
        others = await self._read_accounts(method)
        if any(other.name == name for other in others):
            raise Refusal("provider_exists", name=name)
        if len(others) >= MAX_ACCOUNTS:
            raise Refusal("too_many_providers", most=MAX_ACCOUNTS)
        await self._validate(method, account, others)
        await self._write(caller, method, account, "provider_added", is_new=True)

    async def change(
        self, caller: Caller, method: str, name: str, kind: str | None, settings: Mapping[str, Any]
    ) -> None:
        """Change an account: what is absent stays, null unsets. Raises Refusal as add does, and not_found."""
        account, others = await self._complete(method, name, kind, settings)
        await self._validate(method, account, others)
        await self._write(caller, method, account, "provider_changed")

    async def remove(self, caller: Caller, method: str, name: str) -> None:
        """Remove an account with its versions; those of late are kept for receipts. Raises as list_versions does."""
        before = await self._require_account(method, name)
        at = datetime.fromtimestamp(self._now(), UTC)
        async with self._store.writing() as rows:
            await rows.lock_accounts(method)
            versions = await rows.list_account_versions(method, name)
            await rows.remove_account(method, name)
            if BY_NAME[method].keeps_removed_accounts:
                late = (*(version for version in versions if version.is_current), *list_former(versions, at))
                await rows.add_removed_accounts(
                    [RemovedAccount(new_id(), method, name, row.kind, row.settings, at) for row in late]
                )
            shown = self._audit(before, await self._senders.find_channel(method))
            await self._add_audit_record(rows, caller, "provider_removed", method, name, shown, None)
        await self.publish_now()

    async def list_versions(self, method: str, name: str) -> Sequence[Provider]:
        """Return the versions of an account, the newest first. Raises Refusal not_found, name_in_settings."""
        await self._require_account(method, name)
        async with self._store.reading() as rows:
            versions = await rows.list_account_versions(method, name)
        kinds = (await self._senders.find_channel(method)).kinds
        return [self._show(version, kinds, None) for version in versions]

    async def restore(self, caller: Caller, method: str, name: str, version: int) -> None:
        """Make an earlier version the current one. Raises Refusal not_found and what add raises."""
        await self._require_account(method, name)
        async with self._store.reading() as rows:
            versions = await rows.list_account_versions(method, name)
        chosen = next((candidate for candidate in versions if candidate.version == version), None)
        if chosen is None:
            raise Refusal("not_found", what=f"{method}/{name} {version}"[:80])
        account = self._vault.open(chosen)
        await self._validate(method, account, await self._read_accounts(method))
        await self._write(caller, method, account, "provider_restored")

    async def check(
        self, method: str, name: str, kind: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> ProviderCheck:
        """Return a sender's check of a stored, changed or new account at its provider. Raises Refusal as add does."""
        own = await self._read_accounts(method)
        if kind is not None and all(account.name != name for account in own):
            account = ProviderAccount(name=name, kind=kind, settings=_drop_unset(settings or {}))
        else:
            account, own = await self._complete(method, name, kind, settings or {})
        answer = await self._ask(method, "check", account, own)
        _refuse(answer, name)
        return answer

    async def list_entries(self, method: str, name: str, what: Literal["signatures", "templates"]) -> ProviderCheck:
        """Return what the provider of an account lists, also of one in the settings.

        Raises Refusal not_found, sender_away.
        """
        own = await self._read_accounts(method)
        channel = await self._senders.find_channel(method)
        if name not in {account.name for account in own} | {account.name for account in channel.settings}:
            raise _refuse_unknown(method, name)
        return await self._senders.call(method, what, name, own)

    async def examine_domain(self, method: str, domain: str, *, english: bool) -> SenderDns | None:
        """Return a domain's DNS records, found by a sender; '' is the default sender's domain. None: there is none.

        Raises Refusal providers_closed, sender_away.
        """
        await self.require_key(method)
        return (await self._senders.call(method, "dns", domain, (), english=english)).dns

    async def check_signature(self, method: str, signature: str) -> Sequence[Remark]:
        """Return what is wrong with a signature at the accounts, found by a sender. Raises Refusal sender_away."""
        return (await self._senders.call(method, "signature", signature, ())).remarks

    async def _complete(
        self, method: str, name: str, kind: str | None, settings: Mapping[str, Any]
    ) -> tuple[ProviderAccount, Sequence[ProviderAccount]]:
        """Return an account with changes, and all accounts as they are."""
        await self._require_account(method, name)
        own = await self._read_accounts(method)
        known = next(account for account in own if account.name == name)
        changed = {field: value for field, value in settings.items() if not _is_mark(value)}
        return ProviderAccount(
            name=name, kind=kind or known.kind, settings=_drop_unset({**known.settings, **changed})
        ), own

    async def _write(
        self, caller: Caller, method: str, account: ProviderAccount, action: str, *, is_new: bool = False
    ) -> None:
        channel = await self._senders.find_channel(method)
        async with self._store.writing() as rows:
            await rows.lock_accounts(method)
            before = next(
                (present for present in await rows.list_accounts(method) if present.name == account.name), None
            )
            if is_new and before is not None:
                raise Refusal("provider_exists", name=account.name)
            if not is_new and before is None:
                raise _refuse_unknown(method, account.name)
            sealed = self._vault.seal(method, account)
            at = datetime.fromtimestamp(self._now(), UTC)
            after = AccountVersion(
                method,
                account.name,
                1 if before is None else before.version + 1,
                account.kind,
                sealed,
                at,
                caller.username,
                is_current=True,
            )
            await rows.add_account_version(after)
            shown = None if before is None else self._audit(before, channel)
            await self._add_audit_record(rows, caller, action, method, account.name, shown, self._audit(after, channel))
        await self.publish_now()

    async def _add_audit_record(  # noqa: PLR0917
        self,
        rows: Rows,
        caller: Caller,
        action: str,
        method: str,
        name: str,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
    ) -> None:
        at = datetime.fromtimestamp(self._now(), UTC)
        change = make_change(caller, action, f"{method}/{name}", at, before=before, after=after)
        await rows.add_audit_record(change.model_dump_json())

    def _audit(self, version: AccountVersion, channel: ChannelProviders) -> Mapping[str, Any]:
        """Return what the audit keeps of a version: neither secrets nor whole addresses."""
        shown = self._show(version, channel.kinds, None)
        fields = {shown.conditions.get(key, key): mask(value) for key, value in shown.settings.items()}
        return {"kind": shown.kind, "version": version.version, **fields}

    def _show(self, version: AccountVersion, kinds: Sequence[Kind], switch: Switch | None) -> Provider:
        account = self._vault.open(version)
        kind = next((kind for kind in kinds if kind.kind == version.kind), None)
        public = set() if kind is None else {field.key or field.name for field in kind.fields if not field.secret}
        return Provider(
            version.method,
            version.name,
            version.kind,
            {field: value if field in public else {"set": True} for field, value in account.settings.items()},
            "page",
            True if switch is None or switch.enabled is None else switch.enabled,
            None if switch is None else switch.weight,
            version=version.version,
            changed_at=version.changed_at,
            changed_by=version.changed_by,
            conditions=_list_conditions(kinds),
        )

    async def require_key(self, method: str) -> None:
        """Check that accounts and senders of a channel can be set up here. Raises Refusal providers_closed."""
        if method not in self.methods:
            setting = "IMSG_SECRET_KEY" if not self._vault.is_open else f"IMSG_PROVIDER_KEYS__{method.upper()}"
            raise Refusal("providers_closed", setting=setting)

    async def _read_accounts(self, method: str) -> Sequence[ProviderAccount]:
        """Return the accounts of a channel. Raises Refusal providers_closed."""
        await self.require_key(method)
        async with self._store.reading() as rows:
            return [self._vault.open(account) for account in await rows.list_accounts(method)]

    async def _require_account(self, method: str, name: str) -> AccountVersion:
        await self._read_accounts(method)
        async with self._store.reading() as rows:
            account = next((account for account in await rows.list_accounts(method) if account.name == name), None)
        if account is not None:
            return account
        if any(account.name == name for account in (await self._senders.find_channel(method)).settings):
            raise Refusal("name_in_settings", name=name)
        raise _refuse_unknown(method, name)

    async def _validate(self, method: str, account: ProviderAccount, own: Sequence[ProviderAccount]) -> None:
        _refuse(await self._ask(method, "validate", account, own), account.name)

    async def _ask(
        self, method: str, what: str, account: ProviderAccount, own: Sequence[ProviderAccount]
    ) -> ProviderCheck:
        """Return a sender's answer to a call about an account. Raises Refusal sender_away."""
        accounts = [account if other.name == account.name else other for other in own]
        if account not in accounts:
            accounts.append(account)
        return await self._senders.call(method, what, account.name, accounts)


def _refuse(answer: ProviderCheck, name: str) -> None:
    if answer.is_taken:
        raise Refusal("name_in_settings", name=name)
    if answer.errors:
        raise refuse_fields(answer.errors)


def _refuse_unknown(method: str, name: str) -> Refusal:
    return Refusal("not_found", what=f"{method}/{name}"[:80])


def _list_conditions(kinds: Sequence[Kind]) -> Mapping[str, str]:
    return {field.key or field.name: field.name for kind in kinds for field in kind.fields if field.route}


def _show_own(method: str, account: ShownAccount, switch: Switch | None, kinds: Sequence[Kind]) -> Provider:
    return Provider(
        method,
        account.name,
        account.kind,
        account.settings,
        "settings",
        True if switch is None or switch.enabled is None else switch.enabled,
        None if switch is None else switch.weight,
        simulated=account.simulated,
        conditions=_list_conditions(kinds),
    )


def _drop_unset(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in settings.items() if value is not None}


def _is_mark(value: object) -> bool:
    """Return whether a value is the placeholder of a secret in answers: the secret stays unchanged."""
    return value == {"set": True}


def mask(value: Any) -> Any:  # noqa: ANN401  JSON
    """Return a value as the audit keeps it: of an address the first letter and the domain."""
    name, at, domain = value.rpartition("@") if isinstance(value, str) else ("", "", "")
    return f"{name[:1]}***@{domain}" if at else value
