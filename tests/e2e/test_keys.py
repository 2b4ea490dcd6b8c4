"""Keys are lists: the first signs, all verify, so that a key is changed without ending sessions."""

from pathlib import Path

import pytest

from imsg_testing.deployment import running

pytestmark = pytest.mark.release

OLD, NEW = "the key of last year", "the key of this year"


def test_tokens_survive_the_rotation_of_their_key_and_end_with_it(tmp_path: Path) -> None:
    """Old; then new before old; then new alone. The key between services is a list too, of which the first is sent."""
    with running(tmp_path, {"IMSG_TOKEN_KEY": OLD}) as deployment:
        before = deployment.token()
    with running(tmp_path, {"IMSG_TOKEN_KEY": f"{NEW},{OLD}", "IMSG_SERVICE_KEY": f"{NEW},{OLD}"}) as deployment:
        assert deployment.call("GET", "/api/v2/users", token=deployment.token())["errorCode"] == 0
        assert deployment.call("GET", "/api/v2/me", token=before)["errorCode"] == 0
        between = deployment.token()
    with running(tmp_path, {"IMSG_TOKEN_KEY": NEW}) as deployment:
        assert deployment.call("GET", "/api/v2/me", token=between)["errorCode"] == 0
        assert deployment.call("GET", "/api/v2/me", token=before)["errorCode"] == 10005
