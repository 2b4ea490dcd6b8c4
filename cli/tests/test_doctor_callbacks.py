"""`imsg doctor` of callbacks: where they may go, and whether the key of their secrets is there."""

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from imsg.all_in_one import Settings
from imsg.doctor.callbacks import check_networks, examine
from imsg_callbacks.endpoints import Endpoints
from imsg_callbacks.migrations import MIGRATIONS
from imsg_callbacks.records import Endpoint
from imsg_callbacks.vault import Vault
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate

RIGHT, OTHER = (SecretStr(word * 8) for word in ("right", "other"))


@pytest.mark.parametrize(
    ("allow", "state", "remedy"),
    [
        ([], "to no network of yours", ""),
        (["10.1.0.0/16", "fd12::/16"], "and to 10.1.0.0/16, fd12::/16", ""),
        (["10.0.0.0/8", "0.0.0.0/0"], "everywhere", "IMSG_CALLBACKS__ALLOW"),
        (["::/0"], "everywhere", "IMSG_CALLBACKS__ALLOW"),
    ],
)
def test_it_lists_where_callbacks_may_go_and_what_should_stay_closed(allow: list[str], state: str, remedy: str) -> None:
    found = check_networks(allow)
    assert state in found.state
    assert remedy in found.remedy
    assert bool(found.remedy) == bool(remedy)


async def keep_endpoint(folder: Path) -> None:
    """Make callbacks' database, with one endpoint whose secret is sealed by the right key."""
    url = read_url(f"sqlite:///{folder / 'callbacks.db'}")
    migrate(url, MIGRATIONS)
    async with connect(url, DatabaseOptions("test", pool=1, busy_timeout_s=5)) as database:
        endpoints = Endpoints(database, Vault([RIGHT]), lambda: 1)
        sealed = endpoints.seal("whsec_x", "one")
        await endpoints.add(
            Endpoint(
                id="one",
                user_id="u",
                username="admin",
                is_admin=True,
                url="https://a.example/",
                events=("message.sent",),
                methods=None,
                description="",
                secret=sealed,
                old_secret=None,
                old_until=None,
                created_at=1,
            )
        )


def test_a_key_that_opens_no_secret_is_named_and_nothing_is_made(tmp_path: Path) -> None:
    def remedies(*keys: SecretStr) -> list[str]:
        found = asyncio.run(examine(Settings(data_dir=tmp_path, secret_key=keys)))
        return [finding.remedy for finding in found if finding.remedy]

    assert remedies() == []
    asyncio.run(keep_endpoint(tmp_path))
    before = sorted(path.name for path in tmp_path.iterdir())
    assert remedies(RIGHT) == remedies(OTHER, RIGHT) == []
    for keys in ((), (OTHER,)):
        (remedy,) = remedies(*keys)
        assert "IMSG_SECRET_KEY" in remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == before

    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "secret_key").write_text(RIGHT.get_secret_value())
    assert remedies() == []
