"""The internal HTTP API of callbacks."""

from fastapi import FastAPI

from imsg_broker.port import PublishRefused, PublishUnknown
from imsg_callbacks.routes import deliveries, endpoints, events
from imsg_callbacks.routes import services as internal_routes
from imsg_callbacks.routes.dependencies import RouteServices
from imsg_database.unavailable import DatabaseUnavailable
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck
from imsg_web.service_client import ServiceUnavailable

UNAVAILABLE = (DatabaseUnavailable, ServiceUnavailable, PublishRefused, PublishUnknown)


def api(services: RouteServices, internal: CallerCheck) -> FastAPI:
    """Make the app: `services` are what its routes call, `internal` checks the service key of its callers."""
    routers = (endpoints.router, deliveries.router, events.router, internal_routes.router)
    app = make_internal_app("iMSG callbacks", internal, routers, UNAVAILABLE)
    app.state.services = services
    return app
