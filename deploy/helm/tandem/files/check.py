"""What `helm test` runs in a pod of the gateway's image: the gateway is ready, asks for a key, and finds an embedder.

    python -IS check.py URL KEY_FILE [CERTIFICATE_FILE]

With a certificate, the gateway must serve https with this one. Ends with status 1 and a line that says what is wrong.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

SECONDS = 120


class Check:
    """Requests to one gateway.

    Args:
        url: of the gateway.
        key: of an administrator.
        certificate: file with the certificate that the gateway must serve; empty for http.
    """

    def __init__(self, url: str, key: str, certificate: str = "") -> None:
        self.url = url.rstrip("/")
        self.key = key
        context = None
        if certificate:
            context = ssl.create_default_context(cafile=certificate)
            context.check_hostname = False  # in the cluster it has another name than its clients use
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # No proxy of the environment: the gateway is in the cluster.
        handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
        self.opener = urllib.request.build_opener(*handlers)
        self.until = time.monotonic() + SECONDS

    def get(self, path: str, *, with_key: bool = True) -> tuple[int, bytes]:
        """Return the status and the body of a GET; status 0 with the reason if nothing answers."""
        headers = {"authorization": f"Bearer {self.key}"} if with_key else {}
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with self.opener.open(request, timeout=5) as reply:
                return reply.status, reply.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 0, str(error).encode()

    def wait(self, path: str, right: Callable[[int, bytes], bool]) -> None:
        """Return once ``right`` is true for the status and the body; else end after two minutes."""
        while True:
            status, body = self.get(path)
            if right(status, body):
                return
            if time.monotonic() > self.until:
                sys.exit(f"{path} answers {status}: {body[:500].decode(errors='replace')}")
            time.sleep(1)

    def run(self) -> None:
        """Check the gateway; end with a message if something is wrong."""
        self.wait("/readyz", lambda status, body: status == 200)
        print("the gateway is ready")
        status, _ = self.get("/v1/collections", with_key=False)
        if status != 401:
            sys.exit(f"/v1/collections without a key answers {status} and not 401")
        status, body = self.get("/v1/collections")
        if status != 200:
            sys.exit(f"/v1/collections with the API key answers {status}: {body[:500].decode(errors='replace')}")
        print("it asks for a key, and takes the administrator's")
        self.wait("/healthz", lambda status, body: status == 200 and json.loads(body)["status"] == "ok")
        print("an embedder serves it")


if __name__ == "__main__":
    Check(sys.argv[1], Path(sys.argv[2]).read_text().strip(), *sys.argv[3:]).run()
