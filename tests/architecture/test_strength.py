"""Weak keys stop a start if strangers can reach iMSG, and only then."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_gateway.main
import imsg_history.main
import imsg_scheduler.main
import imsg_smtp.main
import imsg_wechat.main
from imsg_runtime.key_strength import MIN_KEY_BYTES
from imsg_runtime.settings import PeerKeys, StartError
from imsg_web.service import Service

LONG = (SecretStr("k" * MIN_KEY_BYTES),)
SHORT = (LONG[0], SecretStr("k" * (MIN_KEY_BYTES - 1)))
"""One of two is enough: it verifies too."""

READERS = [
    ("gateway", "service_key"),
    ("gateway", "token_key"),
    ("auth", "service_key"),
    ("auth", "token_key"),
    ("auth", "peer_keys__gateway"),
    ("history", "service_key"),
    ("callbacks", "service_key"),
    ("callbacks", "secret_key"),
    ("history", "peer_keys__sender_smtp"),
    ("catalog", "service_key"),
    ("catalog", "peer_keys__gateway"),
    ("scheduler", "service_key"),
    ("sender-smtp", "service_key"),
    ("sender-wechat", "service_key"),
]


def make_service(service: str, url: str, folder: Path, **given: Any) -> Service:  # noqa: ANN401  any setting
    """Make a service of settings that are right but for what is given."""
    common: dict[str, Any] = {"broker_url": url, "redis_url": url, "service_key": LONG, **given}
    if service == "gateway":
        return imsg_gateway.main.app(imsg_gateway.main.Settings(**{"token_key": LONG, **common}))
    if service == "auth":
        return imsg_auth.main.app(imsg_auth.main.Settings(**{"token_key": LONG, "data_dir": folder, **common}))
    if service == "history":
        return imsg_history.main.app(imsg_history.main.Settings(database_url=f"sqlite:///{folder}/h.db", **common))
    if service == "callbacks":
        kept = {"secret_key": LONG, "database_url": f"sqlite:///{folder}/c.db", **common}
        return imsg_callbacks.main.app(imsg_callbacks.main.Settings(**kept))
    if service in ("catalog", "scheduler"):
        owner: Any = imsg_catalog.main if service == "catalog" else imsg_scheduler.main
        made: Service = owner.app(owner.Settings(**{"data_dir": folder, **common}))
        return made
    return make_sender(service, folder, common)


def make_sender(service: str, folder: Path, common: dict[str, Any]) -> Service:
    """Make a sender in the same way."""
    called = {"history_url": "http://history:8000"}
    if service == "sender-smtp":
        smtp = {"host": "127.0.0.1", "sender": "imsg@example.com"}
        return imsg_smtp.main.app(imsg_smtp.main.Settings(**{"smtp": smtp, **called, **common}))
    account = {"appid": "wx", "secret": "s", "token": "t", "template": "t", "variable": "v"}
    wechat = {"accounts": {"main": account}}
    given_url = f"sqlite:///{folder}/w.db"
    return imsg_wechat.main.app(
        imsg_wechat.main.Settings(**{"wechat": wechat, "database_url": given_url, **called, **common})
    )


def write_setting(name: str, keys: tuple[SecretStr, ...]) -> dict[str, Any]:
    """Write a setting by its path."""
    group, _, field = name.partition("__")
    return {group: PeerKeys(**{field: keys}) if field else keys}


@pytest.mark.parametrize(("service", "name"), READERS)
async def test_where_strangers_reach_it_a_short_key_stops_the_start_with_its_name_and_a_remedy(
    service: str, name: str, valkey_url: str, tmp_path: Path
) -> None:
    with pytest.raises(StartError, match=f"IMSG_{name.upper()} .*openssl rand -hex 32") as refused:
        async with make_service(service, valkey_url, tmp_path, host="0.0.0.0", **write_setting(name, SHORT)).running():
            pass
    assert SHORT[1].get_secret_value() not in str(refused.value)


@pytest.mark.parametrize(("service", "name"), READERS)
async def test_on_loopback_a_short_key_will_do(service: str, name: str, valkey_url: str, tmp_path: Path) -> None:
    async with make_service(service, valkey_url, tmp_path, **write_setting(name, SHORT)).running():
        pass
