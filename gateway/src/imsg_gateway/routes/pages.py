"""The OpenAPI document, and the page that shows it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from imsg_gateway.authorization import check_fields
from imsg_gateway.reader_page import PATHS
from imsg_gateway.request import ClientRequest
from imsg_gateway.routes.dependencies import GatewayServices
from imsg_gateway.routing import OpenRoute
from imsg_web.responses import prefers_chinese, prefers_english

Language = Annotated[Literal["zh", "en"] | None, Query()]

router = APIRouter(route_class=OpenRoute, include_in_schema=False, dependencies=[Depends(check_fields)])


@router.get("/openapi.json")
async def show_document(request: ClientRequest, services: GatewayServices, lang: Language = None) -> Response:
    """Show the document: in English, unless `lang` or Accept-Language says Chinese."""
    return await services.document.show(request.app, lang or ("zh" if prefers_chinese(request.language) else "en"))


@router.get("/docs")
async def show_page(request: ClientRequest, services: GatewayServices, lang: Language = None) -> Response:
    """Show the page: in Chinese, unless `lang` or Accept-Language says English."""
    return services.reader.show(lang or ("en" if prefers_english(request.language) else "zh"))


async def show_file(request: ClientRequest, services: GatewayServices) -> Response:
    """Return a file of the page."""
    return services.reader.file(request.path)


for path in PATHS:
    router.add_api_route(path, show_file)
