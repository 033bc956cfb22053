"""Who may ask a server for what: hosts, origins, tokens, and the headers that keep browsers careful."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from celebahq_tools.errors import ConfigError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_READING = {"GET", "HEAD"}
_LARGEST_BODY = 4096
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)
_POLICY = b"default-src 'none'; frame-ancestors 'none'"
# Pages narrow this further for themselves, script by script; both hold.
_POLICY_OF_PAGES = (
    b"default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
    b"media-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class AccessRules:
    """What a server lets through.

    On a loopback address anyone on the machine may read and only who holds the token may write. On any other address
    the token is needed for everything.

    Attributes:
        host: Address the server listens on.
        port: Its port.
        token: Secret that the printed address carries.
    Raises:
        ConfigError: If the token is too short to be a secret.
    """

    host: str
    port: int
    token: str

    def __post_init__(self) -> None:
        if len(self.token) < 16:
            raise ConfigError("the token of a server needs at least 16 characters")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def cookie(self) -> str:
        """Name of the cookie that carries the token; cookies know no ports, so that its name does."""
        return f"celebahq-{self.port}"

    @property
    def address(self) -> str:
        """Address to open, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/?token={quote(self.token)}"

    def allows_host(self, header: str) -> bool:
        """Return whether a Host header names this server.

        A page elsewhere can give its own name this machine's address (DNS rebinding) and would then count as ours; its
        requests still carry its name. Where the token guards reading, they cannot have it.
        """
        if not self.is_local:
            return bool(header)
        return header in {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")} | {
            f"{self.host}:{self.port}"
        }

    def holds_token(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request carries the token, as a cookie or as ``Authorization: Bearer``."""
        kind, _, given = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if kind.lower() == "bearer" and self._equals(given.strip()):
            return True
        try:
            cookies = SimpleCookie(headers.get(b"cookie", b"").decode("latin-1"))
        except CookieError:
            return False
        return self.cookie in cookies and self._equals(cookies[self.cookie].value)

    def _equals(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8"), self.token.encode("utf-8"))


class AccessGuard:
    """Refuses what the rules do not let through, before any of the application's code runs.

    Args:
        app: The application.
        rules: What is let through.
    """

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let the application."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no web sockets here
        headers = dict(scope["headers"])
        refusal = self._find_refusal(scope["method"], headers)
        if refusal:
            await _answer(send, *refusal)
            return
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        if given and scope["method"] == "GET" and scope["path"] == "/":
            await self._greet(send, given[0])
            return
        known = self._rules.holds_token(headers)
        if not known and not (self._rules.is_local and scope["method"] in _READING):
            reason = "this needs the token: open the address that the server printed when it started"
            await _answer(send, 401, reason)
            return
        scope.setdefault("state", {})["may_write"] = known
        await self._app(scope, receive, _add_headers(send, _POLICY_OF_PAGES if scope["path"] == "/" else _POLICY))

    def _find_refusal(self, method: str, headers: Mapping[bytes, bytes]) -> tuple[int, str] | None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._rules.allows_host(host):
            return 421, "this server has another name; open the address that it printed"
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and (urlsplit(origin).scheme != "http" or urlsplit(origin).netloc != host):
            return 403, "requests from pages of other origins are refused"
        site = headers.get(b"sec-fetch-site", b"none")
        walked_in = headers.get(b"sec-fetch-mode") == b"navigate" and method == "GET"
        if site not in (b"same-origin", b"none") and not walked_in:
            return 403, "requests from pages of other sites are refused"
        if method not in _READING:
            length = headers.get(b"content-length", b"")
            if not length.isdigit() or int(length) > _LARGEST_BODY:
                return 413, f"a request of at most {_LARGEST_BODY} bytes with its length is expected"
        return None

    async def _greet(self, send: Send, given: str) -> None:
        """Turn the token of the printed address into a cookie, so that it leaves the address bar and the history."""
        if not hmac.compare_digest(given.encode("utf-8"), self._rules.token.encode("utf-8")):
            await _answer(send, 401, "this is not the token of this server; open the address that it printed")
            return
        cookie = f"{self._rules.cookie}={self._rules.token}; Path=/; HttpOnly; SameSite=Strict"
        await _answer(send, 303, "", ((b"location", b"/"), (b"set-cookie", cookie.encode("latin-1"))))


async def _answer(send: Send, status: int, text: str, extra: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    body = text.encode("utf-8")
    headers = [
        *_HEADERS,
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        *extra,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _add_headers(send: Send, policy: bytes) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            names = {name for name, _ in headers}
            headers += [*_HEADERS, (b"content-security-policy", policy)]
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
            message = {**message, "headers": headers}
        await send(message)

    return add
