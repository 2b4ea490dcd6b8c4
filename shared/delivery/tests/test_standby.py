"""A sender without a provider: with standby it runs and reports it; without, it stops."""

import asyncio
from pathlib import Path

import pytest
from pydantic import BaseModel
from starlette.types import ASGIApp

from imsg_contract.topology import channel_key, no_provider_key
from imsg_delivery.sender import Sender as OpenSender
from imsg_delivery.sender import make_sender
from imsg_delivery.standby import is_idle
from imsg_runtime.redis import connect
from imsg_runtime.settings import SenderSettings, load_without
from imsg_testing.waiting import eventually


class Mail(BaseModel):
    """Its provider."""

    host: str = ""


class Sender(SenderSettings):
    """A sender's settings."""

    smtp: Mail = Mail()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start where nothing is set."""
    monkeypatch.chdir(tmp_path)


def test_a_sender_idles_only_where_that_is_wished_and_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_idle(Sender, "smtp")
    monkeypatch.setenv("IMSG_NO_PROVIDER", "idle")
    assert is_idle(Sender, "smtp")
    monkeypatch.setenv("IMSG_SMTP__HOST", "")
    assert is_idle(Sender, "smtp"), "compose passes what is not set as empty"
    monkeypatch.setenv("IMSG_SMTP__HOST", "mail.example.com")
    assert not is_idle(Sender, "smtp"), "half of a provider is a mistake to be told"


def test_a_file_gives_it_a_provider_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMSG_NO_PROVIDER", "idle")
    (tmp_path / "imsg.toml").write_text('[smtp]\nhost = "mail.example.com"\n')
    assert not is_idle(Sender, "smtp")


async def open_parts(sender: OpenSender, settings: Sender) -> ASGIApp:
    """Open a channel, which no sender without a provider does."""
    raise AssertionError(f"{sender} {settings}")


async def test_it_is_ready_and_publishes_its_state(monkeypatch: pytest.MonkeyPatch, valkey_url: str) -> None:
    monkeypatch.setenv("IMSG_REDIS_URL", valkey_url)
    monkeypatch.setenv("IMSG_BROKER_URL", valkey_url)
    settings = load_without(Sender, "smtp")
    service = make_sender("smtp", Sender, settings, open_parts, remedy="set IMSG_SMTP__HOST")
    async with connect(valkey_url) as redis:
        await redis.call("DEL", channel_key("smtp"), no_provider_key("smtp"))
    async with connect(valkey_url) as redis, service.running():

        async def is_told() -> bool:
            return bool(await redis.call("HGET", channel_key("smtp"), "state") == b"blocked")

        await eventually(is_told)

        async def is_ready() -> bool:
            return service.unmet() == []

        await eventually(is_ready)

        async def is_valid_for_a_while() -> bool:
            told, left_s = await asyncio.gather(
                redis.call("GET", no_provider_key("smtp")), redis.call("TTL", no_provider_key("smtp"))
            )
            return bool(told == b"set IMSG_SMTP__HOST" and 0 < left_s <= 10)

        await eventually(is_valid_for_a_while)
        why = (await redis.call("HGET", channel_key("smtp"), "why")).decode()
        assert why == "no provider is configured: set IMSG_SMTP__HOST"
        await redis.call("DEL", channel_key("smtp"), no_provider_key("smtp"))
