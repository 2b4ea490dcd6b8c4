"""auth's API."""

from fastapi import FastAPI

from imsg_auth.routes import keys, providers, quotas, sessions, users
from imsg_auth.routes import services as internal_routes
from imsg_auth.routes.dependencies import RouteServices
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck

UNAVAILABLE = (DatabaseUnavailable, RedisUnavailable, RedisRefused)


def api(internal: CallerCheck, services: RouteServices) -> FastAPI:
    """Make the API."""
    routers = (sessions.router, keys.router, users.router, quotas.router, providers.router, internal_routes.router)
    app = make_internal_app("iMSG auth", internal, routers, UNAVAILABLE)
    app.state.services = services
    return app
