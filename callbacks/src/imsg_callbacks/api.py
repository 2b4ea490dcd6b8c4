"""callbacks' API."""

from fastapi import FastAPI

from imsg_callbacks.routes import deliveries, endpoints, events
from imsg_callbacks.routes.dependencies import Parts
from imsg_database.unavailable import DatabaseUnavailable
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck
from imsg_web.service_client import ServiceUnavailable


def api(parts: Parts, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    routers = (endpoints.router, deliveries.router, events.router)
    app = make_internal_app("iMSG callbacks", internal, routers, (DatabaseUnavailable, ServiceUnavailable))
    app.state.parts = parts
    return app
