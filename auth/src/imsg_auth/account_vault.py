"""The seal of the accounts at providers that auth keeps in its table."""

from collections.abc import Sequence

from pydantic import SecretStr
from pydantic_core import from_json, to_json

from imsg_auth.rows.providers import AccountVersion, RemovedAccount
from imsg_auth.store import Store
from imsg_contract.errors import Refusal
from imsg_contract.provider_accounts import PURPOSE, ProviderAccount
from imsg_runtime.sealing import Sealer


class AccountVault:
    """Seals and opens the settings of accounts under `IMSG_SECRET_KEY`; without keys it is closed."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._sealer = Sealer(keys, PURPOSE) if keys else None

    @property
    def is_open(self) -> bool:
        """Whether there is a key."""
        return self._sealer is not None

    def seal(self, method: str, account: ProviderAccount) -> str:
        """Return the settings of an account as its row keeps them. Raises Refusal providers_closed."""
        return self._require_sealer().seal(to_json(account.settings).decode(), f"{method}/{account.name}")

    def open(self, row: AccountVersion | RemovedAccount) -> ProviderAccount:
        """Open a row. Raises Refusal providers_closed, also where it was sealed under another key."""
        text = self._require_sealer().open(row.settings, f"{row.method}/{row.name}")
        if text is None:
            raise _refuse_closed()
        return ProviderAccount(name=row.name, kind=row.kind, settings=from_json(text))

    async def seal_again(self, store: Store) -> None:
        """Seal every row under the first key, at start, so that the other keys can be taken away."""
        if self._sealer is None:
            return
        async with store.writing() as rows:
            for version in await rows.list_account_versions():
                if (sealed := _seal_again(self._sealer, version)) is not None:
                    await rows.seal_account_again(version, sealed)
            for removed in await rows.list_removed_accounts():
                if (sealed := _seal_again(self._sealer, removed)) is not None:
                    await rows.seal_removed_account_again(removed, sealed)

    def _require_sealer(self) -> Sealer:
        if self._sealer is None:
            raise _refuse_closed()
        return self._sealer


def _refuse_closed() -> Refusal:
    return Refusal("providers_closed", setting="IMSG_SECRET_KEY")


def _seal_again(sealer: Sealer, row: AccountVersion | RemovedAccount) -> str | None:
    """Return the settings sealed under the first key; None where they are, or can't be opened."""
    owner = f"{row.method}/{row.name}"
    text = None if sealer.is_fresh(row.settings, owner) else sealer.open(row.settings, owner)
    return None if text is None else sealer.seal(text, owner)
