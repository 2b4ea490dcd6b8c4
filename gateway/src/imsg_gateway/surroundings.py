"""What a gateway sees of its machine, of backups and of the certificate, where no process of `imsg up` reports them."""

import asyncio
import ssl
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from imsg_contract.findings import Finding, make_finding
from imsg_contract.topology import BACKED_UP
from imsg_runtime.machine import check_disk, check_expiry, describe_no_backup
from imsg_runtime.redis import Redis

DISK = Path("/")
"""In a container: the disk of the engine, where the volumes are too unless they were put elsewhere."""

POLL_S = 3_600.0

TIMEOUT_S = 10.0

EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED of OpenSSL."""

_BACK_UP = ("运行 `make backup TO=目录`，并每天定时运行", "Run `make backup TO=FOLDER`, and let it run once a day")

_RENEW = ("在终止 TLS 的地方续期。", "Renew it where TLS ends.")


class Surroundings:
    """Looks at the certificate of the public URL every hour, at the disk and the time of the last backup when asked."""

    def __init__(self, redis: Redis, public_url: str, *, disk_free_gib: int, backup_hours: int, zone: ZoneInfo) -> None:
        self._redis = redis
        self._address = find_address(public_url)
        self._is_public = bool(public_url)
        self._disk_free_gib = disk_free_gib
        self._backup_hours = backup_hours
        self._zone = zone
        self._seen: datetime | ssl.SSLCertVerificationError | None = None

    async def watch(self) -> None:
        """Fetch the certificate every POLL_S until cancelled; return at once where the public URL has none."""
        while self._address is not None:
            context = await asyncio.to_thread(ssl.create_default_context)
            self._seen = await fetch_certificate_end(*self._address, context)
            await asyncio.sleep(POLL_S)

    async def find(self) -> Sequence[Finding]:
        """Return the findings on disk, certificate and last backup. Raises RedisUnavailable, RedisRefused."""
        at, now = await self._redis.call("GET", BACKED_UP), datetime.now(self._zone)
        made = None if at is None else datetime.fromtimestamp(int(at), self._zone)
        return [*self.find_local(), check_backup(made, now, self._backup_hours, is_public=self._is_public)]

    def find_local(self) -> Sequence[Finding]:
        """Return the findings that need no Redis: on the disk and the certificate."""
        host, now = self._address[0] if self._address else "", datetime.now(self._zone)
        return [*check_disk(DISK, self._disk_free_gib), *check_certificate(host, self._seen, now)]


def find_address(url: str) -> tuple[str, int] | None:
    """Return host and port of an https:// URL; None for any other."""
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        return None
    return (parts.hostname, port) if parts.scheme == "https" and parts.hostname else None


async def fetch_certificate_end(
    host: str, port: int, context: ssl.SSLContext
) -> datetime | ssl.SSLCertVerificationError | None:
    """Return when a server's certificate ends, or why it is not trusted; None where it can't be reached from here."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLCertVerificationError as error:
        return error
    except (OSError, UnicodeError):  # TimeoutError too; a host that is no name
        return None
    certificate = writer.get_extra_info("peercert")
    writer.close()
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)


def check_certificate(
    name: str, seen: datetime | ssl.SSLCertVerificationError | None, now: datetime
) -> Iterator[Finding]:
    """Yield a finding on the certificate that was fetched; nothing where none was."""
    if isinstance(seen, datetime):
        yield check_expiry(name, seen, now, _RENEW)
    elif seen is not None and seen.verify_code == EXPIRED:
        yield make_finding("certificate", "fault", (f"{name} 的证书已过期", f"that of {name} has ended"), _RENEW)
    elif seen is not None:
        why = seen.verify_message
        remedy = (
            "若为内部 CA 签发，客户端需信任该 CA；否则请更换证书及证书链。",
            "Where a CA of your own signed it, clients have to trust that; else replace it, with its chain.",
        )
        state = f"此处不信任 {name} 的证书：{why}", f"that of {name} is not trusted here: {why}"
        yield make_finding("certificate", "notice", state, remedy)


def check_backup(made: datetime | None, now: datetime, within_hours: int, *, is_public: bool) -> Finding:
    """Return the finding on the last run of `scripts/backup`; a notice without one where people use iMSG (`is_public`).

    `within_hours`: how old a backup may be; 0 where backups are made by other means.
    """
    if made is None or within_hours == 0:
        hint = "用 `make backup TO=目录` 备份", "`make backup TO=FOLDER` makes one"
        return describe_no_backup(hint, _BACK_UP, within_hours=within_hours, is_public=is_public)
    at = f"{made:%Y-%m-%d %H:%M %z}"
    state = f"最新的备份：{at}", f"the newest is of {at}"
    if now - made <= timedelta(hours=within_hours):
        return make_finding("backup", "well", state)
    return make_finding("backup", "notice", state, (f"{_BACK_UP[0]}。", f"{_BACK_UP[1]}."))
