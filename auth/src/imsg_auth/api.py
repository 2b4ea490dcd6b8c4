"""auth's API."""

from fastapi import FastAPI

from imsg_auth.routes import keys, page_sessions, providers, quotas, senders, sessions, users, windows
from imsg_auth.routes import services as internal_routes
from imsg_auth.routes.dependencies import RouteServices
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.redis import RedisRefused, RedisUnavailable
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck

UNAVAILABLE = (DatabaseUnavailable, RedisUnavailable, RedisRefused)


def api(internal: CallerCheck, services: RouteServices) -> FastAPI:
    """Make the API."""
    modules = (sessions, page_sessions, keys, users, quotas, windows, providers, senders, internal_routes)
    routers = [module.router for module in modules]
    app = make_internal_app("iMSG auth", internal, routers, UNAVAILABLE)
    app.state.services = services
    return app
