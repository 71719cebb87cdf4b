"""The outer layer of the page: only this machine's browser with the token gets in, and no page can run foreign code.

It covers: other sites and rebound names (the `Host`, a cookie that is never sent across sites), requests that write,
scripts and styles in texts of models (Content-Security-Policy), and pages that are framed, cached or sniffed. It does
not cover another user of this machine who can read the memory or the terminal of this one.
"""

import secrets
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
PARAMETER = "token"
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Admits requests to an application and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app = app
        self._token = token
        #: Cookies are shared by all ports of a host, so each page has a cookie of its own.
        self.cookie = f"tracemill_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app if scope["type"] != "http" else self._refusal(scope) or self._app
        await app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """The answer to a request that is not admitted as it is; None if it is."""
        request = Request(scope)
        if request.headers.get("host", "").rpartition(":")[0] not in HOSTS:
            return PlainTextResponse(f"The Host must be {' or '.join(HOSTS)}, with the port.", 403)
        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("This page only reads: GET and HEAD.", 405, {"Allow": "GET, HEAD"})
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(name == PARAMETER for name, _ in query):
            return self._exchange(scope["path"], query)
        if self._is_token(request.cookies.get(self.cookie, "")):
            return None
        return PlainTextResponse("Open the address that `tracemill view` printed: it has the token.", 403)

    def _exchange(self, path: str, query: Iterable[tuple[str, str]]) -> Response:
        """A cookie for the token, and the same address without it."""
        if not self._is_token(dict(query)[PARAMETER]):
            return PlainTextResponse("This token is not valid. Open the address that `tracemill view` printed.", 403)
        rest = urlencode([pair for pair in query if pair[0] != PARAMETER])
        # "//host" would be another site.
        target = "/" + path.lstrip("/\\") + (f"?{rest}" if rest else "")
        response = RedirectResponse(target, 303)
        response.set_cookie(self.cookie, self._token, httponly=True, samesite="strict", path="/")
        return response

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._token.encode())
