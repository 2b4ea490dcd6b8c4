"""Wires auth: settings, database, Redis, broker, the first accounts, the API; and resets passwords."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field
from starlette.types import ASGIApp

from imsg_auth.account_publisher import AccountPublisher
from imsg_auth.account_vault import AccountVault
from imsg_auth.api import api
from imsg_auth.bootstrap import Bootstrap
from imsg_auth.common_passwords import is_common
from imsg_auth.healthcheck import Healthcheck
from imsg_auth.keys import ApiKeys
from imsg_auth.login_limits import KnownNetworks
from imsg_auth.login_records import LoginRecords
from imsg_auth.migrations import MIGRATIONS
from imsg_auth.outbox import Outbox
from imsg_auth.page_sessions import PageSessions
from imsg_auth.passwords import Passwords, make_hasher
from imsg_auth.provider_accounts import ProviderAccounts
from imsg_auth.provider_switches import ProviderSwitches
from imsg_auth.routes.dependencies import RouteServices
from imsg_auth.sender_calls import SenderCalls
from imsg_auth.senders import Senders
from imsg_auth.sessions import Sessions
from imsg_auth.store import Store
from imsg_auth.thresholds import Thresholds
from imsg_auth.tokens import Tokens
from imsg_auth.totp import Totp
from imsg_auth.user_cache import UserCache
from imsg_auth.user_changes import Cache, NoCache, UserChanges
from imsg_auth.users import Users
from imsg_broker.connect import open_broker
from imsg_channels import METHODS
from imsg_database.address import read_url
from imsg_database.database import connect
from imsg_database.engines import DatabaseOptions
from imsg_database.migrate import migrate
from imsg_database.startup import wait_for, wait_for_database
from imsg_database.unavailable import DatabaseUnavailable
from imsg_limits.quota import Counters, Quota
from imsg_runtime import redis
from imsg_runtime.key_strength import require_strong, require_strong_callers
from imsg_runtime.presence import announce
from imsg_runtime.redis import RedisUnavailable
from imsg_runtime.settings import Common, Keys, PeerKeys, StartError, load, variable
from imsg_web.callers import Apps, Caller, CallerCheck
from imsg_web.service import Service

HOUR_S = 3_600
MAX_TOKEN_HOURS = 24 * 366

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

ON_THE_SERVER = Caller("imsg:reset-password", role="admin", user_id="", since=EPOCH)
"""The actor of changes without a token in the audit: a name no user can have."""


class Settings(Common):
    """What auth reads."""

    database_url: str = ""
    """The database; empty: SQLite in the data folder, one file for each owner. It may hold a password."""
    data_dir: Path = Path("data")
    """The data folder: the SQLite files, and under `imsg up` everything else."""
    token_key: Keys = ()
    """Signs the tokens of users. The first key signs, all verify."""
    token_hours: Annotated[int, Field(ge=1, le=MAX_TOKEN_HOURS)] = 12
    """How many hours a token lives."""
    peer_keys: PeerKeys = PeerKeys()
    """The keys of the services that call this one, where each has a key of its own."""
    secret_key: Keys = ()
    """Encrypts the secrets that are kept: those of callback endpoints and of accounts at providers. The first key
    encrypts, all decrypt. Keep it with the backups."""
    provider_keys: Annotated[dict[str, Keys], Field(default_factory=dict)]
    """Channel → the key by which its senders read the accounts at providers; it is their `IMSG_PROVIDER_KEY`."""

    @property
    def store_url(self) -> str:
        """The database: the one named, else a file of auth's own in the data folder."""
        return self.database_url or f"sqlite:///{self.data_dir / 'auth.db'}"


def app(settings: Settings | None = None, apps: Apps | None = None) -> Service:
    """Make the service; it calls no other, so that `apps` is not used."""
    del apps
    settings = settings or load(Settings)

    @asynccontextmanager
    async def opening(service: Service) -> AsyncIterator[ASGIApp]:
        _require_keys(settings)
        async with AsyncExitStack() as stack:
            store, cache = await _open_parts(stack, settings)
            user_cache = UserCache(store, cache)
            passwords = Passwords(Counters(cache), make_hasher(), known_networks=KnownNetworks(cache))
            bootstrap = Bootstrap(
                store,
                passwords,
                exposure=settings.exposure,
                admin_password=settings.admin_password.get_secret_value() if settings.admin_password else None,
                folder=settings.data_dir,
            )
            await bootstrap.create_first()
            await bootstrap.refuse_documented()
            await wait_for(
                user_cache.forget_all,
                f"Redis at {variable('redis_url')}",
                unavailable=(DatabaseUnavailable, RedisUnavailable),
            )
            broker = await stack.enter_async_context(open_broker(settings.broker_url))
            outbox = Outbox(store, broker)
            changes = UserChanges(store, user_cache, outbox.wake)
            audit_key = settings.token_key[0].get_secret_value().encode()
            users = Users(store, changes, passwords, allows_documented=not settings.is_exposed, audit_key=audit_key)
            tokens = Tokens(settings.token_key, settings.token_hours * HOUR_S)
            records = LoginRecords(service.metrics, Counters(cache), changes)
            totp = Totp(store, changes, Counters(cache), settings.token_key)
            await totp.seal_again()
            sessions = Sessions(store, changes, passwords, tokens, users, totp=totp, records=records)
            quota = Quota(cache, ZoneInfo(settings.timezone))
            switches = ProviderSwitches(store, cache, METHODS, outbox.wake)
            vault = AccountVault(settings.secret_key)
            await vault.seal_again(store)
            publisher = AccountPublisher(store, cache, vault, settings.provider_keys)
            senders = SenderCalls(cache, settings.provider_keys)
            accounts = ProviderAccounts(store, vault, senders, publisher, wake=outbox.wake)
            healthcheck = Healthcheck(store, cache)
            thresholds = Thresholds(store, cache, outbox.wake)
            service.watch(outbox.run(), "outbox")
            service.watch(healthcheck.run(), "healthcheck")
            service.watch(switches.run(), "switches")
            service.watch(publisher.run(), "provider accounts")
            service.watch(thresholds.run(), "thresholds")
            service.watch(user_cache.watch_installation_limits(), "installation_limits")
            service.check("database", lambda: healthcheck.has_store and store.takes_writes)
            service.check("redis", lambda: healthcheck.has_redis)
            service.watch(announce(cache, service.describe), "presence")
            guard = CallerCheck("auth", settings.service_key, settings.peer_keys)
            keys = ApiKeys(store, changes)
            page_sessions = PageSessions(store, changes, tokens, cache)
            yield api(
                guard,
                RouteServices(
                    users,
                    sessions,
                    user_cache,
                    tokens,
                    quota,
                    switches,
                    keys,
                    totp,
                    page_sessions,
                    accounts,
                    Senders(store, accounts),
                ),
            )

    return Service("auth", settings, opening)


async def reset_password(settings: Settings, username: str, password: str) -> None:
    """Set a user's password on the server itself, without a token, and end every token of the user.

    With SQLite it also works while all of iMSG is down, its Redis included. Raises Refusal (no_such_user,
    wrong_type) and StartError, whose texts are shown to people.
    """
    async with AsyncExitStack() as stack:
        store, cache = await _open_parts(stack, settings)
        passwords = Passwords(Counters(cache), make_hasher())

        async def reset(user_cache: Cache) -> None:
            users = Users(store, UserChanges(store, user_cache), passwords, allows_documented=not settings.is_exposed)
            await users.reset_password(ON_THE_SERVER, username, password)

        try:
            await reset(UserCache(store, cache))
        except RedisUnavailable as error:
            if not settings.store_url.startswith("sqlite"):
                raise StartError("Redis at {0} did not answer; nothing was changed.", variable("redis_url")) from error
            await reset(NoCache())


def _require_keys(settings: Settings) -> None:
    callers = settings.peer_keys.by_service()
    for name, keys in (("service_key", settings.service_key), ("token_key", settings.token_key)):
        if not keys and not (name == "service_key" and callers):
            raise StartError(
                "{0} is not set; give it a long random value, such as `openssl rand -hex 32` makes.", variable(name)
            )
        require_strong(settings, name, keys=keys)
    require_strong(settings, "secret_key", keys=settings.secret_key)
    for method, keys in settings.provider_keys.items():
        require_strong(settings, "provider_keys", method, keys=keys)
    require_strong_callers(settings, callers)
    if settings.admin_password:
        _refuse_common(settings.admin_password.get_secret_value())


def _refuse_common(password: str) -> None:
    """Refuse a common password of the administrator. Raises StartError, which does not print it."""
    if not is_common(password):
        return
    name = variable("admin_password")
    raise StartError(
        "{0} is a common password, which is guessed early; give it what `openssl rand -hex 12` "
        "makes. Where the administrator has it already, change it by `imsg users reset-password "
        "admin` too, and {1} may be unset.",
        name,
        name,
    )


async def _open_parts(stack: AsyncExitStack, settings: Settings) -> tuple[Store, redis.Redis]:
    url = read_url(settings.store_url)
    await wait_for_database(partial(migrate, url, MIGRATIONS))
    database = await stack.enter_async_context(connect(url, DatabaseOptions("imsg-auth")))
    cache = await stack.enter_async_context(redis.connect(settings.redis_url))
    return Store(database), cache
