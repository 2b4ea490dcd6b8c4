"""history's API."""

from fastapi import FastAPI

from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.routes import dead_letters, erasures, messages, reports
from imsg_history.routes import services as internal_routes
from imsg_history.routes.dependencies import RouteServices
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck


def api(services: RouteServices, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    routers = (messages.router, dead_letters.router, erasures.router, reports.router, internal_routes.router)
    app = make_internal_app("iMSG history", internal, routers, [DatabaseUnavailable])
    app.state.services = services
    return app
