"""Prometheus and Alertmanager for the tests, by the files of `deploy`, with their times shortened."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import httpx
import yaml

from imsg_testing.processes import Process
from imsg_testing.servers.ports import ask, reserve_port
from imsg_testing.servers.server import MissingServerError, Server, find_program

DEPLOY = Path(__file__).parents[4] / "deploy"

FACTOR = 30
"""By how much times are shortened: a minute of the rules is two seconds."""

SCRAPE_EVERY = "1s"
"""Twice as long as the factor has it: a busy machine does not answer every half second."""

_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}

_TIME = re.compile(r"(?<=\[)(\d+)([smhd])(?=\])|(?<=: )(\d+)([smhd])$", re.ASCII | re.MULTILINE)
"""A window (`[15m]`), or the value of a key such as `for`."""

_AGE = re.compile(r"((?:oldest|overdue)_seconds\) > )(\d+)", re.ASCII)
"""The bound of an age: of what waits, or is late. How long a request or a batch may take stays."""


def shorten(text: str) -> str:
    """Return rules or a configuration with all windows, waits and ages shortened by `FACTOR`."""
    text = _TIME.sub(lambda match: _shorten_time(*filter(None, match.groups())), text)
    return _AGE.sub(lambda match: f"{match[1]}{int(match[2]) // FACTOR}", text)


def _shorten_time(count: str, unit: str) -> str:
    return f"{int(count) * _MS[unit] // FACTOR}ms"


class Alertmanager(Server):
    """Alertmanager with the configuration that operators fill in."""

    def __init__(self, fill_in: Callable[[dict[str, Any]], None]) -> None:
        """Make the server; `fill_in` completes the receiver, of which parts are commented out."""
        super().__init__()
        self._fill_in = fill_in

    @property
    def address(self) -> str:
        """Where Prometheus sends alerts."""
        return f"127.0.0.1:{self._port}"

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        commented = shorten((DEPLOY / "alertmanager" / "alertmanager.yml").read_text(encoding="utf-8"))
        config = yaml.safe_load(re.sub(r"(?m)^    # ", "    ", commented))
        (receiver,) = config["receivers"]
        self._fill_in(receiver)
        file = self.folder / "alertmanager.yml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        options = {
            "config.file": file,
            "storage.path": self.folder / "data",
            "web.listen-address": self.address,
            "cluster.listen-address": "",
        }
        return Process(_command("prometheus-alertmanager", options), log=self.folder / "log")

    def _answers(self) -> bool:
        return b" 200 " in ask(self._port, b"GET /-/ready HTTP/1.0\r\n\r\n")


class Prometheus(Server):
    """Prometheus with the rules and the scraping of `deploy`; the services are found by a file in place of DNS."""

    def __init__(self, alertmanager: Alertmanager | None = None) -> None:
        super().__init__()
        self._alertmanager = alertmanager
        self._targets = self.folder / "targets.json"

    def scrape(self, services: Mapping[str, Collection[str]]) -> None:
        """Scrape these addresses of services from now on, as when a name of DNS gets other addresses."""
        groups = [
            {"targets": list(addresses), "labels": {"__meta_dns_name": name}} for name, addresses in services.items()
        ]
        written = self.folder / "targets.next"
        written.write_text(json.dumps(groups), encoding="utf-8")
        written.replace(self._targets)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the series of an expression, each with its labels and its value."""
        series: list[dict[str, Any]] = self._read("query", query=expression)["result"]
        return series

    def read_states(self) -> dict[str, str]:
        """Return the state of each alert: `inactive`, `pending` or `firing`; `unknown` before it was looked at."""
        rules = [rule for group in self._read("rules")["groups"] for rule in group["rules"]]
        return {rule["name"]: rule["state"] for rule in rules}

    def list_fired(self, within_s: int) -> set[str]:
        """Return the alerts that have fired in the last seconds."""
        fired = self.query(f'last_over_time(ALERTS{{alertstate="firing"}}[{within_s}s])')
        return {sample["metric"]["alertname"] for sample in fired}

    def _read(self, path: str, **params: str) -> Any:  # noqa: ANN401  Prometheus' own shapes
        answer = httpx.get(f"http://127.0.0.1:{self._port}/api/v1/{path}", params=params, timeout=30)
        return answer.raise_for_status().json()["data"]

    def _prepare(self) -> Process:
        self._port = reserve_port(self)
        own = DEPLOY / "prometheus"
        (self.folder / "imsg.rules.yml").write_text(shorten((own / "imsg.rules.yml").read_text()), encoding="utf-8")
        config = yaml.safe_load(shorten((own / "scrape.yml").read_text(encoding="utf-8")))
        config["global"]["scrape_interval"] = SCRAPE_EVERY
        told = [] if self._alertmanager is None else [self._alertmanager.address]
        config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": told}]}]
        (job,) = config["scrape_configs"]
        del job["dns_sd_configs"]
        job["file_sd_configs"] = [{"files": [str(self._targets)], "refresh_interval": "1s"}]
        file = self.folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        options = {
            "config.file": file,
            "storage.tsdb.path": self.folder / "data",
            "web.listen-address": f"127.0.0.1:{self._port}",
        }
        return Process(_command("prometheus", options), log=self.folder / "log")

    def _answers(self) -> bool:
        return b" 200 " in ask(self._port, b"GET /-/ready HTTP/1.0\r\n\r\n")


def _command(name: str, options: Mapping[str, object]) -> list[str]:
    """Return the command of a program, by Debian's name or its own. Raises MissingServerError."""
    program = find_program(name) or find_program(name.removeprefix("prometheus-"))
    if program is None:
        raise MissingServerError(f"{name} is not installed: apt-get install {name}")
    return [str(program), *(f"--{option}={value}" for option, value in options.items())]
