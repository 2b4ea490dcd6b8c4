"""Publishes accounts at providers and senders of mail in Redis, sealed for the senders of their channel."""

import asyncio
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from pydantic import SecretStr

from imsg_auth.account_vault import AccountVault
from imsg_auth.rows.providers import AccountVersion, RemovedAccount
from imsg_auth.store import Store
from imsg_contract.provider_accounts import MIRROR, PURPOSE, NamedSender, ProviderMirror
from imsg_contract.topology import accounts_key
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.logs import RecurringProblem, logger
from imsg_runtime.redis import Redis, RedisRefused, RedisUnavailable, Script
from imsg_runtime.sealing import Sealer

log = logger(__name__)

INTERVAL_S = 2.0
"""How often the copy in Redis is compared with the table, in case Redis was flushed or another auth wrote."""

FORMER_FOR = timedelta(days=7)
"""How long the credentials of a version that was replaced are accepted for receipts."""

_WRITE = Script.of("""
if redis.call('HGET', KEYS[1], 'version') == ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'sealed', ARGV[2])
return 1
""")


class AccountPublisher:
    """Copies the tables to Redis, for each channel under a key of its own."""

    def __init__(
        self,
        store: Store,
        redis: Redis,
        vault: AccountVault,
        keys_of_methods: Mapping[str, Sequence[SecretStr]],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._redis = redis
        self._vault = vault
        keys = {method: own for method, own in keys_of_methods.items() if own}
        self._sealers = {method: Sealer(own, PURPOSE) for method, own in keys.items()}
        self._digest_keys = {method: own[0].get_secret_value().encode() for method, own in keys.items()}
        self._problem = RecurringProblem(log, "provider_accounts_not_published")
        self._now = now

    async def run(self) -> None:
        """Update the copy in Redis every INTERVAL_S until cancelled."""
        while True:
            with self._problem.catch(DatabaseUnavailable, RedisUnavailable, RedisRefused):
                await self._publish()
            await asyncio.sleep(INTERVAL_S)

    async def publish_now(self) -> None:
        """Publish a change at once; if Redis is unavailable, `run` publishes it later."""
        with suppress(RedisUnavailable, RedisRefused):
            await self._publish()

    async def _publish(self) -> None:
        now = datetime.fromtimestamp(self._now(), UTC)
        async with self._store.reading() as rows:
            accounts, senders = await rows.list_accounts(), await rows.list_senders()
            replaced = list_former(await rows.list_account_versions(), now)
            removed = await rows.list_removed_accounts()
        if any(row.removed_at <= now - FORMER_FOR for row in removed):
            async with self._store.writing() as rows:
                await rows.drop_removed_accounts(now - FORMER_FOR)
        late = [row for row in removed if row.removed_at > now - FORMER_FOR]
        former: Sequence[AccountVersion | RemovedAccount] = (*replaced, *late)
        for method, sealer in self._sealers.items() if self._vault.is_open else ():
            own = tuple(self._vault.open(account) for account in accounts if account.method == method)
            named = tuple(
                NamedSender(name=row.name, address=row.address, reply_to=row.reply_to, signature=row.signature)
                for row in senders
                if row.method == method
            )
            old = tuple(self._vault.open(row) for row in former if row.method == method)
            text = ProviderMirror(accounts=own, senders=named, former=old).model_dump_json()
            version = hmac.new(self._digest_keys[method], text.encode(), hashlib.sha256).hexdigest()[:32]
            await self._redis.run(_WRITE, [accounts_key(method)], [version, sealer.seal(text, f"{MIRROR} {method}")])


def list_former(versions: Sequence[AccountVersion], now: datetime) -> Sequence[AccountVersion]:
    """Return the versions that another has replaced less than FORMER_FOR ago, the latest first."""
    by_key = {(version.method, version.name, version.version): version for version in versions}
    accounts = []
    for version in versions:
        later = by_key.get((version.method, version.name, version.version + 1))
        if later is not None and later.changed_at > now - FORMER_FOR:
            accounts.append(version)
    return sorted(accounts, key=lambda account: -account.version)
