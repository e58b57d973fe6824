"""A webhook on loopback that refuses everything in known words; it decides nothing."""

import json
import ssl
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

REFUSAL: Final = "the call arrived"


class _Denial(BaseHTTPRequestHandler):
    """HTTP/1.0, so that each call is a connection and a handshake of its own."""

    def do_POST(self) -> None:
        """Refuse."""
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": False, "status": {"code": 403, "message": REFUSAL}}
        answer = {"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response}
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - the overridden method's signature
        """Say nothing."""


@contextmanager
def serve_denials(context: ssl.SSLContext) -> Generator[str]:
    """Its URL, while it serves on a free port with this TLS context."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Denial) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"https://127.0.0.1:{server.server_address[1]}/validate"
        finally:
            server.shutdown()
            thread.join()
