"""Secrets that settings refer to by name: of a container, and of services that share one."""

from pathlib import Path

from imsg_runtime.secret_files import fill, fill_own

GIVEN = {
    "PATH": "/bin:{redis_password}",
    "IMSG_REDIS_URL": "redis://imsg-{service}:{redis_password}@redis:6379/0",
    "IMSG_SERVICE_KEY": "{service_key}",
    "IMSG_TIMEZONE": "Asia/Shanghai",
}


def test_braces_that_name_no_secret_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_text("s3cret\n")

    assert fill("{redis_password} ${goods} {nobody}", tmp_path) == "s3cret ${goods} {nobody}"


def test_services_that_share_a_container_have_their_own_names_and_secrets_and_no_setting_of_the_other(
    tmp_path: Path,
) -> None:
    for service, names in {"catalog": ["redis_password"], "scheduler": ["redis_password", "service_key"]}.items():
        (tmp_path / service).mkdir()
        for name in names:
            (tmp_path / service / name).write_text(f"{name} of {service}")

    catalog, scheduler = (fill_own(GIVEN, service, tmp_path) for service in ("catalog", "scheduler"))

    assert catalog["IMSG_REDIS_URL"] == "redis://imsg-catalog:redis_password of catalog@redis:6379/0"
    assert "IMSG_SERVICE_KEY" not in catalog, "a name in braces would be a key that anybody knows"
    assert scheduler["IMSG_SERVICE_KEY"] == "service_key of scheduler"
    assert scheduler["IMSG_TIMEZONE"] == catalog["IMSG_TIMEZONE"] == "Asia/Shanghai"
    assert catalog["PATH"] == GIVEN["PATH"], "no setting of ours"
