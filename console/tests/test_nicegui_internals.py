"""What the console relies on inside NiceGUI is there, and nothing but one module relies on it."""

import ast
from pathlib import Path

import nicegui.client
import pytest
from nicegui import core, ui
from nicegui.page import page

import imsg_console
from imsg_console import nicegui_internals
from imsg_console.nicegui_internals import HANDSHAKE_REFUSED, IMPLICIT_HANDSHAKE, LocalizedPage, NonceLoader
from imsg_console.style_sheets import FILES

SOURCES = Path(imsg_console.__file__).parent
STATIC = Path(nicegui.__file__).parent / "static"

INSIDE = {"nicegui.core", "nicegui.client.templates", "nicegui.page", "nicegui.outbox", "nicegui.elements"}
"""Modules of NiceGUI that no page may know of."""

QUASAR_SHEET = "quasar.css"
"""Where Quasar's own class names stand."""


def test_the_template_is_a_jinja_source_whose_tags_take_a_nonce() -> None:
    environment = nicegui.client.templates.env
    assert environment.loader is not None
    loader = environment.loader if isinstance(environment.loader, NonceLoader) else NonceLoader(environment.loader)

    source, _, _ = loader.get_source(environment, "index.html")

    assert source.count("<script") == source.count("<script nonce=") > 0
    assert source.count("<style") == source.count("<style nonce=") > 0


def test_a_page_asks_for_its_language_and_theme() -> None:
    assert LocalizedPage.resolve_language is not page.resolve_language
    assert LocalizedPage.resolve_dark is not page.resolve_dark


@pytest.mark.parametrize("event", ["connect", "handshake", "event", "disconnect", "log", "javascript_response"])
def test_sockets_listen_under_names_that_can_be_taken_over(event: str) -> None:
    assert callable(nicegui_internals.read_handlers(core.sio)[event])


def test_nicegui_reads_the_same_words_of_a_handshake() -> None:
    inside = (Path(nicegui.__file__).parent / "nicegui.py").read_text() + (STATIC / "nicegui.js").read_text()

    assert HANDSHAKE_REFUSED in inside
    assert IMPLICIT_HANDSHAKE in inside


def test_the_app_has_what_is_set_anew() -> None:
    assert isinstance(core.app.user_middleware, list)
    assert hasattr(core.app, "middleware_stack")
    assert hasattr(core.sio.eio, "max_http_buffer_size")
    assert hasattr(core.sio.eio, "cors_allowed_origins")
    assert callable(core.app.remove_route)


def test_files_and_sockets_are_served_where_they_are_let_through() -> None:
    paths = {str(getattr(route, "path", "")) for route in core.app.routes}

    assert any(path.startswith(nicegui_internals.ASSETS.rstrip("/")) for path in paths)
    assert any(path.startswith(nicegui_internals.SOCKET.rstrip("/")) for path in paths)


def test_quasar_knows_the_parts_that_pages_name() -> None:
    """Of a component that pages use by its tag, and of the one setting that keeps its bar away."""
    quasar = "".join(path.read_text() for path in STATIC.glob("quasar*.js"))

    assert "QUploaderAddTrigger" in quasar
    assert "skipHijack" in quasar
    assert callable(ui.element)


def test_no_other_module_looks_inside() -> None:
    wrong = []
    for path in SOURCES.rglob("*.py"):
        if path.name == "nicegui_internals.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nicegui"):
                names = {f"{node.module}.{name.name}" for name in node.names} | {node.module}
                if any(name.startswith(inside) for name in names for inside in INSIDE):
                    wrong.append(f"{path.relative_to(SOURCES)}:{node.lineno}")
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "$refs" in node.value:
                wrong.append(f"{path.relative_to(SOURCES)}:{node.lineno}")
            if isinstance(node, ast.Attribute) and _is_private(node):
                wrong.append(f"{path.relative_to(SOURCES)}:{node.lineno}")

    assert wrong == []


def test_quasars_own_class_names_stand_in_one_sheet() -> None:
    naming = [name for name, file in FILES.items() if name.endswith(".css") and ".q-" in file.read_text()]

    assert naming == [QUASAR_SHEET]


def _is_private(node: ast.Attribute) -> bool:
    own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    return node.attr.startswith("_") and not node.attr.startswith("__") and not own
