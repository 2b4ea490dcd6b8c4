"""GET /docs: Swagger UI, served by the gateway itself from an installed package, and what starts it."""

from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path

from starlette.responses import FileResponse, Response

_PACKAGE = "fastapi-standalone-docs"
"""Carries Swagger UI's own files. Never imported: it would bring FastAPI's pages along."""

_SWAGGER = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}
_OURS = {
    "reader.js": "text/javascript; charset=utf-8",
    "reader.css": "text/css; charset=utf-8",
}

PATHS = tuple(f"/docs/{name}" for name in (*_SWAGGER, *_OURS))

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_KEPT = {**_HEADERS, "cache-control": "public, max-age=3600"}

_SWITCH = {"zh": ("English", "en"), "en": ("中文", "zh")}
_PAGE = """\
<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>iMSG API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="stylesheet" href="/docs/reader.css">
</head>
<body>
<nav class="switch"><a href="/openapi.json?lang={language}">openapi.json</a>
<a href="/docs?lang={other}" hreflang="{other}" lang="{other}">{label}</a></nav>
<div id="reader"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/reader.js"></script>
</body>
</html>
"""


class Reader:
    """Answers the page and its files, from disk."""

    def __init__(self) -> None:
        # `locate_file` is a path of a file on disk: our packages and theirs are never zipped.
        theirs = Path(str(distribution(_PACKAGE).locate_file("fastapi_standalone_docs/static/swagger")))
        ours = Path(str(files("imsg_gateway").joinpath("reader")))
        self._files = {
            **{f"/docs/{name}": (theirs / name, kind) for name, kind in _SWAGGER.items()},
            **{f"/docs/{name}": (ours / name, kind) for name, kind in _OURS.items()},
        }

    def show(self, language: str) -> Response:
        """Return the page in a language."""
        label, other = _SWITCH[language]
        text = _PAGE.format(language=language, label=label, other=other)
        return Response(text, headers=_HEADERS, media_type="text/html; charset=utf-8")

    def file(self, path: str) -> Response:
        """Return one of the files at PATHS, sent chunk by chunk: nothing of it stays in memory."""
        place, kind = self._files[path]
        return FileResponse(place, headers=_KEPT, media_type=kind)
