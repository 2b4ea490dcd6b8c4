"""callbacks' API."""

from fastapi import FastAPI

from imsg_callbacks.routes import deliveries, endpoints, events
from imsg_callbacks.routes.parts import Parts
from imsg_database.unavailable import DatabaseUnavailable
from imsg_runtime.callers import Internal
from imsg_runtime.service_client import ServiceUnavailable
from imsg_web.app import make_internal_app


def api(parts: Parts, internal: Internal) -> FastAPI:
    """Make the API."""
    routers = (endpoints.router, deliveries.router, events.router)
    app = make_internal_app("iMSG callbacks", internal, routers, (DatabaseUnavailable, ServiceUnavailable))
    app.state.parts = parts
    return app
