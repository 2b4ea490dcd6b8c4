"""What a gateway sees of backups and of the certificate of its public URL."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from imsg_contract.topology import BACKED_UP
from imsg_gateway.surroundings import check_backup, check_certificate, fetch_certificate_end, find_address
from imsg_testing.gateway import RunningGateway
from imsg_testing.servers.certificates import Certificates

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours_ago", "level", "words"),
    [(None, "notice", "no backup yet"), (25, "well", "2026-11-28 11:00"), (27, "notice", "2026-11-28 09:00")],
)
def test_a_backup_is_missed_after_a_day(hours_ago: int | None, level: str, words: str) -> None:
    made = None if hours_ago is None else NOON - timedelta(hours=hours_ago)
    finding = check_backup(made, NOON, 26, is_public=True)

    assert finding.level == level
    assert words in finding.state.en
    assert ("make backup" in (finding.remedy.en if finding.remedy else "")) == (level == "notice")


def test_at_a_first_try_no_backup_is_missed() -> None:
    finding = check_backup(None, NOON, 26, is_public=False)

    assert finding.level == "well"
    assert "no backup yet" in finding.state.en
    assert check_backup(NOON - timedelta(hours=27), NOON, 26, is_public=False).level == "notice"


@pytest.mark.parametrize("made", [None, NOON - timedelta(days=9)])
def test_backups_by_other_means_are_not_missed(made: datetime | None) -> None:
    finding = check_backup(made, NOON, 0, is_public=True)

    assert finding.level == "well"
    assert "IMSG_BACKUP_HOURS" in finding.state.en


async def test_the_status_shows_when_the_containers_were_backed_up(gateway: RunningGateway) -> None:
    token = await gateway.user(role="admin")
    gateway.history.report_nothing()
    await gateway.redis.call("SET", BACKED_UP, int(datetime.now(UTC).timestamp()) - 200_000)
    answer = (await gateway.client.get("/api/v2/status", params={"token": token})).json()

    (row,) = (finding for finding in answer["findings"] if finding["part"] == "backup")
    assert row["level"] == "notice"
    assert "make backup" in row["remedy"]


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://imsg.example.com", ("imsg.example.com", 443)),
        ("https://u:p@imsg.example.com:8443/x", ("imsg.example.com", 8443)),
        ("http://imsg.example.com", None),
        ("https://imsg.example.com:99999", None),
        ("https://[x", None),
        ("imsg.example.com", None),
        ("", None),
    ],
)
def test_a_certificate_is_looked_at_where_the_public_url_has_one(url: str, address: tuple[str, int] | None) -> None:
    assert find_address(url) == address


async def test_a_certificate_is_judged_as_clients_see_it(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, "localhost")
    server_context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_context.load_cert_chain(certificates.server, certificates.server_key)

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=server_context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        seen = await fetch_certificate_end("localhost", port, ssl.create_default_context(cafile=certificates.ca))
        assert isinstance(seen, datetime)
        (valid,) = check_certificate("localhost", seen, seen - timedelta(days=15))
        (ends_soon,) = check_certificate("localhost", seen, seen - timedelta(days=13))
        (distrusted,) = check_certificate(
            "localhost", await fetch_certificate_end("localhost", port, ssl.create_default_context()), NOON
        )
    assert (valid.level, ends_soon.level, distrusted.level) == ("well", "fault", "notice")
    assert distrusted.remedy is not None
    assert (
        list(
            check_certificate(
                "localhost", await fetch_certificate_end("localhost", port, ssl.create_default_context()), NOON
            )
        )
        == []
    )
