"""A service's key opens the URLs of the table of callers, and no other."""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

import imsg_auth.main
import imsg_callbacks.main
import imsg_catalog.main
import imsg_history.main
import imsg_scheduler.main
import imsg_wechat.main
from imsg_runtime.settings import CALLERS, PeerKeys
from imsg_testing.callers import user
from imsg_testing.routes import routes
from imsg_testing.waiting import eventually
from imsg_web.callers import RULES, find_callers
from imsg_web.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEYS = {name: f"the own key of {name}, long enough for all" for name in CALLERS}
ROOT = Path(__file__).parents[2]
SHARED = "the one key of all services, as it was before"

OWNERS = ("auth", "history", "callbacks", "catalog", "scheduler", "wechat")


def peer_keys(keys: Mapping[str, str]) -> PeerKeys:
    """Write keys as a service that is called reads them."""
    return PeerKeys(**{name.replace("-", "_"): (SecretStr(key),) for name, key in keys.items()})


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """Return the callers' own keys; a test may parametrize it."""
    found: Mapping[str, str] = getattr(request, "param", KEYS)
    return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(
    tmp_path_factory: pytest.TempPathFactory, valkey_url: str, known: Mapping[str, str]
) -> AsyncIterator[dict[str, Service]]:
    """Yield the services that are called, open."""
    tmp_path = tmp_path_factory.mktemp("services")
    settings: dict[str, Any] = {
        "broker_url": valkey_url,
        "redis_url": valkey_url,
        "service_key": (SecretStr(SHARED),),
        "token_key": (SecretStr(SHARED),),
        "peer_keys": peer_keys(known),
        "host": "0.0.0.0",
    }
    auth = imsg_auth.main.Settings(**settings, database_url=f"sqlite:///{tmp_path / 'auth.db'}", data_dir=tmp_path)
    history = imsg_history.main.Settings(**settings, database_url=f"sqlite:///{tmp_path / 'history.db'}")
    callbacks = imsg_callbacks.main.Settings(
        **settings, database_url=f"sqlite:///{tmp_path / 'callbacks.db'}", secret_key=(SecretStr(SHARED),)
    )
    catalog = imsg_catalog.main.Settings(**settings, data_dir=tmp_path)
    wechat = imsg_wechat.main.Settings(
        **settings, erasure_key=(SecretStr(SHARED),), history_url="http://history", data_dir=tmp_path
    )
    made = {
        "wechat": imsg_wechat.main.app(wechat),
        "catalog": imsg_catalog.main.app(catalog),
        "scheduler": imsg_scheduler.main.app(imsg_scheduler.main.Settings(**settings, data_dir=tmp_path)),
        "auth": imsg_auth.main.app(auth),
        "history": imsg_history.main.app(history),
        "callbacks": imsg_callbacks.main.app(callbacks),
    }
    async with AsyncExitStack() as stack:
        for service in made.values():
            await stack.enter_async_context(service.running())

        async def all_are_ready() -> bool:
            return not any(service.unmet() for service in made.values())

        await eventually(all_are_ready, within_s=60)
        yield made


def list_internal(service: Service) -> set[tuple[str, str]]:
    """List the (verb, path) of every URL that wants a service key: not those that a provider calls."""
    return {(verb, path) for verb, path in routes(service) if not path.startswith("/hooks/")}


async def find_opened_by(service: Service, key: str) -> set[tuple[str, str]]:
    """Return the (verb, path) of every URL that a key opens, whatever is answered behind it."""
    opened = set()
    headers = {"x-imsg-key": key, **user("admin", role="admin").headers()}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service), base_url="http://service") as client:
        for verb, path in list_internal(service):
            answer = await client.request(verb, path.replace("{}", "name"), json={}, headers=headers)
            if (answer.status_code, answer.json().get("reason")) != (403, "no_right"):
                opened.add((verb, path))
    return opened


async def test_a_key_opens_what_its_service_may_call(services: dict[str, Service]) -> None:
    for owner, (caller, key) in product(OWNERS, KEYS.items()):
        allowed = {
            (verb, path) for verb, path in list_internal(services[owner]) if caller in find_callers(owner, verb, path)
        }
        assert await find_opened_by(services[owner], key) == allowed, (owner, caller)


async def test_a_sender_reads_attachments_and_for_bounces_recipients_and_nothing_else(
    services: dict[str, Service],
) -> None:
    """The table itself, said once more in words."""
    attachments, recipients = ("GET", "/internal/attachments/{}/{}"), ("GET", "/internal/recipients/{}/{}")
    for sender, opened in (("sender-smtp", {attachments, recipients}), ("sender-wechat", {attachments})):
        assert await find_opened_by(services["history"], KEYS[sender]) == opened


async def test_sender_wechat_reads_and_sets_tags_of_users_and_nothing_else(services: dict[str, Service]) -> None:
    users = {("POST", "/internal/wechat/user"), ("POST", "/internal/wechat/usernames")}
    users.add(("PUT", "/internal/wechat/contacts"))
    assert await find_opened_by(services["auth"], KEYS["sender-wechat"]) == users
    assert await find_opened_by(services["auth"], KEYS["sender-smtp"]) == set()


async def test_callbacks_may_write_whose_events_are_wanted_and_nothing_else(services: dict[str, Service]) -> None:
    assert await find_opened_by(services["auth"], KEYS["callbacks"]) == {("PUT", "/internal/events")}
    assert await find_opened_by(services["history"], KEYS["callbacks"]) == set()


async def test_where_keys_are_known_apart_the_one_key_of_all_opens_nothing(services: dict[str, Service]) -> None:
    for owner in OWNERS:
        assert await find_opened_by(services[owner], SHARED) == set(), owner


@pytest.mark.parametrize("known", [{}, dict.fromkeys(KEYS, SHARED)], indirect=True, ids=["none", "shared by all"])
async def test_a_key_that_is_nobodys_own_opens_what_any_may_call(services: dict[str, Service]) -> None:
    """As while one shared key is replaced by several: no caller is refused on the way."""
    for owner in OWNERS:
        assert await find_opened_by(services[owner], SHARED) == list_internal(services[owner]), owner


async def test_every_rule_and_every_call_is_for_a_url_that_there_is(services: dict[str, Service]) -> None:
    """A call without a route is answered 404, like a missing object, so no test would notice."""
    there = {(owner, *route) for owner in OWNERS for route in routes(services[owner])}
    for rule in (rule for rule in RULES if rule.path != "/"):
        assert any(
            owner == rule.owner and rule.verb in ("*", verb) and rule.covers(path) for owner, verb, path in there
        ), rule
    sources = [path.read_text() for path in ROOT.glob("*/src/**/*.py")]
    called = {
        called for source in sources for called in re.findall(r'call\(\s*"[A-Z]+",\s*f?"(/internal/[^"{]+)', source)
    }
    assert "/internal/user-cache" in called
    assert {url for url in called if not any(path.startswith(url) for *_, path in there)} == set()


async def test_every_rule_names_services_whose_keys_are_known_apart() -> None:
    callers = set().union(*(rule.callers for rule in RULES))
    assert callers == set(CALLERS) == set(KEYS)
