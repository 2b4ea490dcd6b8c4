"""auth's API."""

from fastapi import FastAPI

from imsg_auth.routes import keys, providers, quotas, services, sessions, users
from imsg_auth.routes.parts import Parts
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck

UNAVAILABLE = (DatabaseUnavailable, RedisUnavailable, RedisRefused)


def api(internal: CallerCheck, parts: Parts) -> FastAPI:
    """Make the API."""
    routers = (sessions.router, keys.router, users.router, quotas.router, providers.router, services.router)
    app = make_internal_app("iMSG auth", internal, routers, UNAVAILABLE)
    app.state.parts = parts
    return app
