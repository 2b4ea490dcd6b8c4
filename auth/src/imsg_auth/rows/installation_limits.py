"""The limits of the whole installation."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from imsg_auth.rows.statements import Statements
from imsg_auth.tables import INSTALLATION_LIMITS, THE_INSTALLATION
from imsg_limits.caps import CapRow
from imsg_limits.quota import QuotaRow


@dataclass(frozen=True, slots=True)
class InstallationLimits:
    """The limits of the whole installation, each list as `UserCache` publishes it."""

    quotas: tuple[QuotaRow, ...]
    caps: tuple[CapRow, ...]
    windows: list[dict[str, Any]]
    """`imsg_limits.windows.Window` as JSON."""
    holidays: dict[str, str]
    """Date → `holiday` or `workday`."""


_READ_LIMITS = select(*[INSTALLATION_LIMITS.c[name] for name in InstallationLimits.__dataclass_fields__]).where(
    INSTALLATION_LIMITS.c.id == THE_INSTALLATION
)


class InstallationLimitsRows(Statements):
    """The statements about these limits."""

    async def read_installation_limits(self) -> InstallationLimits:
        """Read the limits of the installation."""
        return InstallationLimits(**(await self._connection.execute(_READ_LIMITS)).mappings().one())

    async def lock_installation_limits(self) -> InstallationLimits:
        """Read the limits of the installation, and lock them until the transaction ends."""
        result = await self._connection.execute(_READ_LIMITS.with_for_update())
        return InstallationLimits(**result.mappings().one())

    async def replace_installation_limits(self, name: str, value: object) -> None:
        """Replace a list of `InstallationLimits`, which are locked."""
        await self._connection.execute(update(INSTALLATION_LIMITS).values({name: value}))
