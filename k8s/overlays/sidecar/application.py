"""An application in few lines: ``GET /?q=...`` is answered by the model at OPENAI_BASE_URL."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import URLError
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen

MODEL_AT = os.environ["OPENAI_BASE_URL"] + "/chat/completions"


class Asking(BaseHTTPRequestHandler):
    """Hands a question on to the model."""

    def do_GET(self) -> None:
        """Answer with what the model says, and with what the cache says about it."""
        question = parse_qs(urlsplit(self.path).query).get("q", ["What is a cache?"])[0]
        body = {"model": "demo", "messages": [{"role": "user", "content": question}]}
        headers = {"Content-Type": "application/json"}
        try:
            with urlopen(Request(MODEL_AT, json.dumps(body).encode(), headers), timeout=60) as told:
                text = json.load(told)["choices"][0]["message"]["content"]
                self._say(200, f"{told.headers['X-Cache']}: {text}\n")
        except (URLError, TimeoutError) as error:
            self._say(502, f"the model could not be asked: {error}\n")

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    with ThreadingHTTPServer(("0.0.0.0", int(os.environ.get("PORT", "8000"))), Asking) as server:
        server.serve_forever()
