"""Every route of every service requires its key or a token, except the open ones."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_gateway.main
import imsg_history.main
import imsg_sandbox.main
import imsg_scheduler.main
from imsg.stand_ins import flatten
from imsg_channels import CHANNELS
from imsg_channels.stand_in import At
from imsg_testing.api_versions import read_answer
from imsg_testing.routes import routes
from imsg_testing.waiting import eventually
from imsg_web.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = (SecretStr("a key between services, long enough"),)

OPEN = {"/api/login", "/api/v2/keys/leaked", "/api/v2/sessions/resume", "/api/v2/login", "/docs", "/openapi.json"}
"""The gateway's URLs that want no token, beside the files of its documentation."""

FILES = "/docs/"

PROVIDERS = tuple(
    value.path
    for channel in CHANNELS
    if channel.stand_in is not None
    for value in flatten(channel.stand_in.settings).values()
    if isinstance(value, At)
)
"""Where the sandbox is the provider itself, with the provider's own keys and answers."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(tmp_path_factory: pytest.TempPathFactory, valkey_url: str) -> AsyncIterator[dict[str, Service]]:
    """Yield the services, open, off loopback."""
    tmp_path = tmp_path_factory.mktemp("services")
    settings: dict[str, Any] = {
        "broker_url": valkey_url,
        "redis_url": valkey_url,
        "service_key": KEY,
        "token_key": KEY,
        "admin_password": SecretStr("not-a-documented-one"),
        "host": "0.0.0.0",
    }
    auth = imsg_auth.main.Settings(**settings, database_url=f"sqlite:///{tmp_path / 'auth.db'}")
    history = imsg_history.main.Settings(**settings, database_url=f"sqlite:///{tmp_path / 'history.db'}")
    callbacks = imsg_callbacks.main.Settings(
        **settings, database_url=f"sqlite:///{tmp_path / 'callbacks.db'}", secret_key=KEY
    )
    sandbox = imsg_sandbox.main.Settings(**settings, sandbox={"smtp_port": 0, "smtp_host": "127.0.0.1"})
    made = {
        "auth": imsg_auth.main.app(auth),
        "history": imsg_history.main.app(history),
        "callbacks": imsg_callbacks.main.app(callbacks),
        "catalog": imsg_catalog.main.app(imsg_catalog.main.Settings(**settings, data_dir=tmp_path)),
        "scheduler": imsg_scheduler.main.app(imsg_scheduler.main.Settings(**settings, data_dir=tmp_path)),
        "gateway": imsg_gateway.main.app(imsg_gateway.main.Settings(**settings)),
        "sandbox": imsg_sandbox.main.app(sandbox),
    }
    async with AsyncExitStack() as stack:
        for service in made.values():
            await stack.enter_async_context(service.running())

        async def all_are_ready() -> bool:
            return not any(service.unmet() for service in made.values())

        await eventually(all_are_ready, within_s=60)
        yield made


async def reason_of(service: Service, verb: str, path: str) -> str | None:
    """Call a route from outside without credentials; return why it is refused."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service") as client:
        answer = await client.request(verb, path.replace("{}", "name"), json={})
        reason: str | None = read_answer(answer).get("reason")
        return reason


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("auth", "no_right"),
        ("history", "no_right"),
        ("callbacks", "no_right"),
        ("catalog", "no_right"),
        ("scheduler", "no_right"),
        ("sandbox", "token_missing"),
        ("gateway", "token_missing"),
    ],
)
async def test_every_route_wants_a_key_or_a_token(services: dict[str, Service], name: str, reason: str) -> None:
    everything = {(verb, path) for verb, path in routes(services[name]) if not path.startswith(PROVIDERS)}
    wanted = {
        (verb, path) for verb, path in everything if name != "gateway" or not (path in OPEN or path.startswith(FILES))
    }

    answers = {(verb, path): await reason_of(services[name], verb, path) for verb, path in wanted}

    assert answers
    assert {route: answer for route, answer in answers.items() if answer != reason} == {}


@pytest.mark.parametrize("owner", ["auth", "history", "callbacks", "catalog", "scheduler"])
async def test_every_public_route_of_an_owner_is_relayed(services: dict[str, Service], owner: str) -> None:
    public = {(verb, path) for verb, path in routes(services[owner]) if path.startswith("/api/")}
    served = {(verb, path.replace("/api/v2/", "/api/")) for verb, path in routes(services["gateway"])}

    assert public
    assert public <= served
