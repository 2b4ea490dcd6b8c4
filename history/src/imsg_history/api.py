"""history's API."""

from fastapi import FastAPI

from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.routes import audit, dead_letters, erasures, exports, messages, reports
from imsg_history.routes import services as internal_routes
from imsg_history.routes.dependencies import RouteServices
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck


def api(services: RouteServices, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    modules = (messages, dead_letters, erasures, reports, audit, internal_routes)
    routers = [*(module.router for module in modules), exports.router, exports.internal]
    app = make_internal_app("iMSG history", internal, routers, [DatabaseUnavailable])
    app.state.services = services
    return app
