"""The committed OpenAPI document and the one of `imsg up`. As a command it writes the document."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from imsg_testing.deployment import Deployment, running

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"

RENEW = "make openapi"


def read_served(deployment: Deployment) -> str:
    """Return the document as it is served, laid out for people and for diffs. Raises AssertionError for an error."""
    document: dict[str, Any] = deployment.call("GET", "/openapi.json")
    assert "paths" in document, document
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def main() -> int:
    """Write the document that an `imsg up` of its own serves."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as deployment:
        DOCUMENT.write_text(read_served(deployment), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
