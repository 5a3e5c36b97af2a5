"""A headless browser, spoken to through its driver in the WebDriver protocol."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]


class Browser:
    """One window."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, file: Path, place: str = "") -> None:
        self._ask("POST", "/url", {"url": "about:blank"})
        self._ask("POST", "/url", {"url": f"{file.resolve().as_uri()}{place}"})

    def run(self, script: str, *arguments: Any) -> Any:
        """Return what the body of a function returns in the page."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": arguments})

    def press(self, *keys: str) -> None:
        """Press keys one after the other; \ue004 is Tab, \ue007 Enter, \ue00c Escape."""
        events = [{"type": kind, "value": k} for k in keys for kind in ("keyDown", "keyUp")]
        source = {"type": "key", "id": "keyboard", "actions": events}
        self._ask("POST", "/actions", {"actions": [source]})

    def look(self, width: int, height: int, *, dark: bool = False) -> None:
        """Change the window and the colour scheme that its user prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._command("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", {"features": [scheme]})

    def complaints(self) -> list[str]:
        """Return what stands in the console since it was last asked."""
        found = self._ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in found]

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))

    def _command(self, name: str, parameters: dict[str, Any]) -> None:
        self._ask("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return _request(method, f"{self._session}{path}", body)


def why_not() -> str | None:
    """Return what is missing to start a browser."""
    if shutil.which("chromedriver") is None:
        return "no chromedriver on the path: install Chromium and its driver to run this test"
    if _binary() is None:
        return "no chromium or google-chrome on the path"
    return None


@contextmanager
def browser() -> Iterator[Browser]:
    """Start a browser, and end it."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    session = None
    try:
        assert driver.stdout is not None
        address = f"http://127.0.0.1:{_port(driver.stdout)}"
        options = {"args": _ARGUMENTS, "binary": _binary()}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        asked = {"capabilities": {"alwaysMatch": {"browserName": "chrome", **wanted}}}
        made = _request("POST", f"{address}/session", asked)
        session = f"{address}/session/{made['sessionId']}"
        yield Browser(session)
    finally:
        if session is not None:
            _request("DELETE", session)
        driver.terminate()
        driver.communicate(timeout=10)


def _binary() -> str | None:
    names: Sequence[str] = ("chromium", "chromium-browser", "google-chrome")
    return next((found for name in names if (found := shutil.which(name))), None)


def _port(output: Iterator[str]) -> int:
    for line in output:
        if found := re.search(r"successfully on port (\d+)", line):
            return int(found[1])
    raise RuntimeError("chromedriver ended without saying its port")


def _request(method: str, url: str, body: dict[str, Any] | None = None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method=method)
    # A proxy for the world outside is none for this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=60) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise RuntimeError(json.load(error)["value"]["message"]) from error
