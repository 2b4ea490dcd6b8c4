"""history's API."""

from fastapi import FastAPI

from imsg_database.unavailable import DatabaseUnavailable
from imsg_history.routes import dead_letters, erasures, messages, reports, services
from imsg_history.routes.parts import Parts
from imsg_web.app import make_internal_app
from imsg_web.callers import CallerCheck


def api(parts: Parts, internal: CallerCheck) -> FastAPI:
    """Make the API."""
    routers = (messages.router, dead_letters.router, erasures.router, reports.router, services.router)
    app = make_internal_app("iMSG history", internal, routers, [DatabaseUnavailable])
    app.state.parts = parts
    return app
