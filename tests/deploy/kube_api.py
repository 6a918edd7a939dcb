"""What Helm reads of Kubernetes' API while it renders a chart for a cluster: the kinds, and the Secrets."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.support.http_servers import JsonHandler, running

Manifest = dict[str, Any]

# Names in the paths of the kinds that the chart makes.
_PLURALS = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
_NOT_FOUND = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class KubeApi:
    """A cluster that has some Secrets.

    Args:
        kinds: kind → API version of the kinds that it knows.
        secrets: path → Secret, such as ``/api/v1/namespaces/search/secrets/one``.
    """

    def __init__(self, kinds: Mapping[str, str], secrets: Mapping[str, Manifest]) -> None:
        self.kinds = dict(kinds)
        self.secrets = dict(secrets)

    def answer(self, path: str) -> Manifest | None:
        """Return what answers a GET; None if there is nothing."""
        if path == "/version":
            return {"major": "1", "minor": "35", "gitVersion": "v1.35.0"}
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": self._groups()}
        if re.fullmatch(r"/api/v1|/apis/[^/]+/[^/]+", path):
            return self._resources(path.removeprefix("/apis/").removeprefix("/api/"))
        return self.secrets.get(path)

    def _groups(self) -> list[Manifest]:
        found = []
        for version in sorted({version for version in self.kinds.values() if "/" in version}):
            group, _, short = version.partition("/")
            named = {"groupVersion": version, "version": short}
            found.append({"name": group, "versions": [named], "preferredVersion": named})
        return found

    def _resources(self, version: str) -> Manifest:
        resources = [
            {
                "name": _PLURALS.get(kind, f"{kind.lower()}s"),
                "singularName": kind.lower(),
                "namespaced": True,
                "kind": kind,
                "verbs": ["get"],
            }
            for kind, of in self.kinds.items()
            if of == version
        ]
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


@contextmanager
def served(api: KubeApi) -> Iterator[str]:
    """Serve a cluster at a free port; gives its URL."""

    class Handler(JsonHandler, BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = api.answer(urlsplit(self.path).path)
            self.reply(_NOT_FOUND if found is None else found, 404 if found is None else 200)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with running(server) as url:
        yield url
