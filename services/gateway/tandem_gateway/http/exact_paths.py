"""Finds the route of a path exactly as it was sent, before Litestar's router sees it.

Litestar's router takes ``/livez/`` for ``/livez``, collapses ``//``, and drops the last slash of a parameter that is a
path. Ids of documents with such slashes could not be reached. It also caches the last 1,024 paths of any length. Here
each route has a canonical path instead, without a client's text: Litestar routes that one, and a middleware then puts
the exact parameters in place.

One exception is for clients that add a slash to each path: a path whose last segment is fixed is also found with one
slash more. No document can be meant by it. A page that names its script by a relative URL has ``NO_SLASH``.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

SERVED: Final = "tandem.served"
"""Key of a handler's ``opt``: only routes that have it are found. Litestar adds routes of its own, which do not."""

NO_SLASH: Final = "tandem.no_slash"
"""Key of a handler's ``opt``: its path is not found with one slash more."""

QUERY: Final = "tandem.query"
"""Key of a handler's ``opt``: the names of its query parameters, none by default; None lets every name through."""

PARAMETERS: Final = "tandem.path_parameters"
"""Scope key of the path's exact parameters."""

HOST: Final = "tandem.host"
"""Scope key of the request's Host header, which Litestar does not see; None without it."""

HEAD: Final = "tandem.head"
"""Scope key that tells whether a handler of GET answers HEAD."""


def without_slash(path: str) -> str:
    """Return a path without its last slash, if a fixed path may have one."""
    return path[:-1] if path.endswith("/") and len(path) > len("//") else path


@dataclass(frozen=True, slots=True)
class ExactRoute:
    """One path and its methods.

    Attributes:
        template: of the path, as metrics show it.
        canonical: path that Litestar routes to the same handlers.
        methods: methods of its handlers.
        allow: value of the Allow header; a handler of GET also answers HEAD.
        operations: method → id of the operation in the OpenAPI document, or the handler's name without one.
        query: method → names of the query parameters; None for every name.
    """

    template: str
    canonical: str
    methods: frozenset[str]
    allow: bytes
    operations: Mapping[str, str]
    query: Mapping[str, tuple[str, ...] | None]


class ExactPaths:
    """The routes of an application."""

    def __init__(self, routes: Iterable[object]) -> None:
        """Make the table from Litestar's routes; only those with ``SERVED`` count."""
        self._fixed: dict[str, ExactRoute] = {}
        self._without_slash: set[str] = set()
        self._patterns: list[tuple[re.Pattern[str], ExactRoute]] = []
        # Searched after the others, as the id of a document may end with a fixed segment and a slash.
        self._slashed: list[tuple[re.Pattern[str], ExactRoute]] = []
        for route in routes:
            if not isinstance(route, HTTPRoute):
                continue
            # Litestar adds a handler of OPTIONS to every route; this service has none.
            operations = {
                str(method): str(handler.operation_id or handler.handler_name)
                for method, (handler, _) in route.route_handler_map.items()
                if method != "OPTIONS" and handler.opt.get(SERVED)
            }
            if operations:
                handlers = {str(method): handler for method, (handler, _) in route.route_handler_map.items()}
                query = {method: handler.opt.get(QUERY, ()) for method, handler in handlers.items()}
                self._add(route, operations, query)
            if any(handler.opt.get(NO_SLASH) for handler, _ in route.route_handler_map.values()):
                self._without_slash.add(route.path)

    def _add(
        self, route: HTTPRoute, operations: Mapping[str, str], query: Mapping[str, tuple[str, ...] | None]
    ) -> None:
        template, canonical, pattern = "", "", ""
        for component in route.path_components:
            if isinstance(component, str):
                template += f"/{component}"
                canonical += f"/{component}"
                pattern += f"/{re.escape(component)}"
            else:
                whole = component.full.endswith(":path")
                template += f"/{{{component.name}{':path' if whole else ''}}}"
                canonical += "/x"
                # A line end in a path that ends with a parameter makes it a different path: `.` does not match it.
                pattern += f"/(?P<{component.name}>{'.*' if whole else '[^/]+'})"
        template, canonical = template or "/", canonical or "/"  # the root has no components
        methods = frozenset(operations)
        allow = ", ".join(sorted({*methods, *(["HEAD"] if "GET" in methods else [])})).encode()
        found = ExactRoute(template, canonical, methods, allow, operations, query)
        if template == canonical:
            self._fixed[template] = found
            return
        self._patterns.append((re.compile(pattern), found))
        if isinstance(route.path_components[-1], str):
            self._slashed.append((re.compile(f"{pattern}/"), found))

    def __iter__(self) -> Iterator[ExactRoute]:
        yield from self._fixed.values()
        for _, route in self._patterns:
            yield route

    def find(self, path: str, method: str) -> tuple[ExactRoute, dict[str, str]] | None:
        """Return the route of a path and its parameters, or None.

        Several routes may match, as ``/documents/get`` and a document of this id. The first that has the method counts,
        or the first if none has it.
        """
        fixed = self._fixed.get(path)
        if fixed is None and (shorter := without_slash(path)) not in self._without_slash:
            fixed = self._fixed.get(shorter)
        if fixed is not None:
            return fixed, {}
        first = None
        for pattern, route in chain(self._patterns, self._slashed):
            matched = pattern.fullmatch(path)
            if matched is None:
                continue
            found = route, matched.groupdict()
            if method in route.methods or (method == "HEAD" and "GET" in route.methods):
                return found
            first = first or found
        return first


class ExactParameters(ASGIMiddleware):
    """Replaces the parameters of the canonical path by those of the request's."""

    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Serve one request, which Litestar has routed."""
        known: Any = scope
        known["path_params"] = known[PARAMETERS]
        await next_app(scope, receive, send)
