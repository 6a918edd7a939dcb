"""Writes the audit log of requests: an observer outside of all routes, and a layer that gives each request a trail."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tandem_gateway.access import trail
from tandem_gateway.access.audit import ANONYMOUS, AuditLine, encoded, is_write, outcome_of, rfc3339_now, short
from tandem_gateway.access.control import AccessControl
from tandem_gateway.access.roles import role_for
from tandem_gateway.http.authentication import principal_of
from tandem_gateway.http.exact_paths import ExactPaths
from tandem_gateway.records.access import Role
from tandem_runtime.http import CODE, ROUTE
from tandem_runtime.request_id import ID, AsgiApp, Receive, Scope, Send

_TRAIL: Final = "tandem.audit"
"""Scope key of the request's trail."""


class _Asked(NamedTuple):
    """The route that a request asked for; None for an unknown path, or a method that the path does not have."""

    template: str | None = None
    operation: str | None = None
    parameters: Mapping[str, str] = {}


_NOTHING: Final = _Asked()


class Operations:
    """The operations of all routes."""

    def __init__(self, paths: ExactPaths, others: Mapping[tuple[str, str], str]) -> None:
        """Make it.

        Args:
            paths: the routes that the OpenAPI document describes.
            others: (method, path) → operation, of paths that it does not.
        """
        self._paths = paths
        self._others = others
        self._known = dict(others)
        for route in paths:
            self._known |= {(method, route.template): name for method, name in route.operations.items()}

    def of(self, method: str, template: str) -> str | None:
        """Return the operation of a route."""
        return self._known.get(("GET" if method == "HEAD" else method, template))

    def find(self, method: str, path: str) -> _Asked:
        """Return what a request asked for, whether it came so far as its route or not."""
        method = "GET" if method == "HEAD" else method
        if (method, path) in self._others:
            return _Asked(path, self._others[method, path])
        found = self._paths.find(path, method)
        if found is None:
            return _NOTHING
        route, parameters = found
        return _Asked(route.template, route.operations.get(method), parameters)

    def role(self, method: str, path: str) -> Role | None:
        """Return the smallest role for a request; None for an unknown path or method."""
        operation = self.find(method, path).operation
        return None if operation is None else role_for(operation)


class AuditLog:
    """Records requests. Use it only in the event loop."""

    def __init__(
        self,
        write: Callable[[bytes, int], object],
        operations: Operations,
        access: AccessControl | None,
        *,
        always: bool,
    ) -> None:
        """Make the log.

        Args:
            write: takes whole lines and their number, and must not block.
            operations: the operations of all routes.
            access: the API keys.
            always: whether to record while access control is off, too.
        """
        self._write = write
        self._operations = operations
        self._access = access
        self._always = always

    @property
    def on(self) -> bool:
        """Whether requests are recorded."""
        return self._always or (self._access is not None and self._access.on)

    def traced(self, app: AsgiApp) -> AsgiApp:
        """Return an application that gives each request a trail."""

        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or not self.on:
                await app(scope, receive, send)
                return
            scope[_TRAIL] = made = trail.Trail()
            token = trail.current.set(made)
            try:
                await app(scope, receive, send)
            finally:
                trail.current.reset(token)

        return noted

    def record(self, scope: Scope, status: int, seconds: float) -> None:
        """Record a request that just ended, if it may have changed something or was denied; an ``edge.Observer``."""
        if not self.on:
            return
        known: trail.Trail = scope.get(_TRAIL) or trail.Trail()
        code = known.code or scope.get(CODE)
        outcome = outcome_of(status, code)
        method, template = scope["method"], scope.get(ROUTE)
        if outcome != "denied" and (template is None or not is_write(method, self._operations.of(method, template))):
            return
        asked = self._operations.find(method, scope["path"])
        principal = principal_of(scope)
        by, name, role = known.by, None, None
        if principal is not None:
            by, name, role = principal.id, principal.name, principal.role
        elif by is None and (self._access is None or not self._access.on):
            by = ANONYMOUS
        line = AuditLine(
            time=rfc3339_now(),
            request_id=scope[ID].decode() if ID in scope else None,
            principal=by,
            principal_name=short(name),
            role=role,
            client=_address(scope),
            action=known.action or asked.operation,
            method=short(method),
            route=asked.template,
            collection=short(known.collection or asked.parameters.get("collection")),
            job_id=short(known.job_id or asked.parameters.get("job_id")),
            key_id=short(known.key_id or asked.parameters.get("key_id")),
            documents=known.documents,
            outcome=outcome,
            status=status,
            code=code,
        )
        self._write(encoded(line), 1)


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return None if client is None else client[0]
