"""WeChat's access tokens: how they are issued, how long they are valid, and how often an account may get one."""

import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

LIFE_S = 7_200
OVERLAP_S = 300
"""In its last 300 s a stable token is replaced; a replaced plain token stays valid for as long."""

FORCED_APART_S = 30
FORCED_A_DAY = 20
PLAIN_A_DAY = 2_000
STABLE_A_DAY = 500_000
STABLE_A_MINUTE = 10_000
TEMPLATES_A_DAY = 100_000
MENUS_A_DAY = 1_000
CLEARS_A_MONTH = 10

CHINA = timezone(timedelta(hours=8))


@dataclass(slots=True)
class Issued:
    """An issued token."""

    appid: str
    until: float
    replaced: bool = False


class Quotas:
    """How often an account used a call in a day, minute or month."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._used: Counter[tuple[str, str, str]] = Counter()

    def use(self, appid: str, what: str, limit: int, window: str = "%Y%m%d") -> bool:
        """Count one use; return False if the limit is reached."""
        key = (appid, what, datetime.fromtimestamp(self._now(), UTC).astimezone(CHINA).strftime(window))
        if self._used[key] >= limit:
            return False
        self._used[key] += 1
        return True

    def clear(self, appid: str) -> None:
        """Reset all counts but that of the resets."""
        for key in [key for key in self._used if key[0] == appid and key[1] != "clear"]:
            del self._used[key]


class TokenStore:
    """Issues and checks tokens. Codes are WeChat's errcodes; 0 is success."""

    def __init__(self, quotas: Quotas, now: Callable[[], float]) -> None:
        self._quotas = quotas
        self._now = now
        self._issued: dict[str, Issued] = {}
        self._plain: dict[str, str] = {}
        self._stable: dict[str, str] = {}
        self._forced_at: dict[str, float] = {}

    def issue_plain(self, appid: str) -> tuple[int, str, int]:
        """Issue a new token as cgi-bin/token does, which replaces the one before: (code, token, seconds)."""
        if not self._quotas.use(appid, "token", PLAIN_A_DAY):
            return 45009, "", 0
        if (old := self._plain.get(appid)) is not None:
            self._issued[old].until = min(self._issued[old].until, self._now() + OVERLAP_S)
            self._issued[old].replaced = True
        self._plain[appid] = self._issue(appid)
        return 0, self._plain[appid], LIFE_S

    def issue_stable(self, appid: str, *, force: bool) -> tuple[int, str, int]:
        """Return the shared token; a new one in its last minutes, or if forced: (code, token, seconds)."""
        if not self._quotas.use(appid, "stable", STABLE_A_DAY):
            return 45009, "", 0
        if not self._quotas.use(appid, "stable-minute", STABLE_A_MINUTE, "%Y%m%d%H%M"):
            return 45011, "", 0
        now = self._now()
        current = self._issued.get(self._stable.get(appid, ""))
        if force and now - self._forced_at.get(appid, -FORCED_APART_S) >= FORCED_APART_S:
            if not self._quotas.use(appid, "forced", FORCED_A_DAY):
                return 45009, "", 0
            self._forced_at[appid] = now
            self.revoke(self._stable.get(appid, ""))
            current = None
        if current is None or current.replaced or current.until - now <= OVERLAP_S:
            self._stable[appid] = self._issue(appid)
        token = self._stable[appid]
        return 0, token, round(self._issued[token].until - now)

    def revoke(self, token: str) -> None:
        """Make a token invalid."""
        if token in self._issued:
            self._issued[token].replaced = True
            self._issued[token].until = self._now()

    def check(self, token: str) -> tuple[int, str]:
        """Return the account of a token: (code, appid)."""
        if not token:
            return 41001, ""
        issued = self._issued.get(token)
        if issued is None:
            return 40001, ""
        if self._now() >= issued.until:
            return (40001 if issued.replaced else 42001), ""
        return 0, issued.appid

    def _issue(self, appid: str) -> str:
        now = self._now()
        self._issued = {token: issued for token, issued in self._issued.items() if now < issued.until + LIFE_S}
        token = f"{secrets.randbelow(90) + 10}_{secrets.token_urlsafe(100)}"
        self._issued[token] = Issued(appid, now + LIFE_S)
        return token
