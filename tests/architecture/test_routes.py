"""Every route of every service requires its key or a token, except the open ones."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_gateway.main
import imsg_history.main
import imsg_sandbox.main
from imsg.stand_ins import leaves
from imsg_channels import CHANNELS
from imsg_channels.stand_in import At
from imsg_testing.routes import routes
from imsg_testing.waiting import eventually
from imsg_web.callers import KEY_HEADER
from imsg_web.service import Service

KEY = (SecretStr("a key between services, long enough"),)

OPEN = {"/api/login", "/api/v2/login", "/docs", "/openapi.json"}
"""The gateway's URLs that want no token, beside the files of its documentation."""

FILES = "/docs/"

PROVIDERS = tuple(
    value.path
    for channel in CHANNELS
    if channel.stand_in is not None
    for value in leaves(channel.stand_in.settings).values()
    if isinstance(value, At)
)
"""Where the sandbox is the provider itself, with the provider's own keys and answers."""


@pytest.fixture
async def services(tmp_path: Path, valkey_url: str) -> AsyncIterator[dict[str, Service]]:
    """Yield the services, open, off loopback."""
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
        "gateway": imsg_gateway.main.app(imsg_gateway.main.Settings(**settings)),
        "sandbox": imsg_sandbox.main.app(sandbox),
    }
    async with AsyncExitStack() as stack:
        for service in made.values():
            await stack.enter_async_context(service.running())

        async def all_are_ready() -> bool:
            return not any(service.unmet() for service in made.values())

        await eventually(all_are_ready, within_s=20)
        yield made


def list_relayed(services: dict[str, Service], owner: str) -> list[Any]:
    """List the gateway's routes that a service answers."""
    api: Any = services["gateway"]._api
    return [route for route in api._table.routes if route.owner == owner]


async def reason_of(service: Service, verb: str, path: str) -> str | None:
    """Call a route as somebody from outside who knows nothing; return why it is refused."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service") as client:
        answer = await client.request(verb, path.replace("{}", "name"), json={})
        reason: str | None = answer.headers.get("x-imsg-reason")
        return reason


async def read_document(service: Service) -> dict[str, Any]:
    """Read what a service says of its routes in OpenAPI."""
    key = {KEY_HEADER: KEY[0].get_secret_value()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service") as client:
        document: dict[str, Any] = (await client.get("/openapi.json", headers=key)).json()
        return document


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("auth", "no_right"),
        ("history", "no_right"),
        ("callbacks", "no_right"),
        ("catalog", "no_right"),
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


@pytest.mark.parametrize("owner", ["auth", "history", "callbacks", "catalog"])
async def test_every_public_route_of_an_owner_is_relayed(services: dict[str, Service], owner: str) -> None:
    public = {(verb, path) for verb, path in routes(services[owner]) if path.startswith("/api/")}

    assert public
    assert public == {(route.verb, route.at) for route in list_relayed(services, owner)}


@pytest.mark.parametrize("owner", ["auth", "history", "callbacks", "catalog"])
async def test_what_reaches_an_owner_is_what_it_says_that_it_reads(services: dict[str, Service], owner: str) -> None:
    """Else a field would be refused in v2 that somebody reads, or be taken that nobody does."""
    document = await read_document(services[owner])
    read: dict[tuple[str, str], tuple[set[str], set[str]]] = {}
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            params = {parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"}
            fields: set[str] = set()
            for content in operation.get("requestBody", {}).get("content", {}).values():
                name = content["schema"]["$ref"].rpartition("/")[2]
                fields |= set(document["components"]["schemas"][name]["properties"])
            read[verb.upper(), re.sub(r"{\w+}", "{}", path)] = fields, params

    given = {
        (route.verb, route.at): (set(route.fields), set(route.params))
        for route in list_relayed(services, owner)
        if route.path.startswith("/api/v2/")
    }

    assert given
    assert given == {key: fields for key, fields in read.items() if key in given}
