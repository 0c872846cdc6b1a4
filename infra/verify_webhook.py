#!/usr/bin/env python3
"""Checks the signature of a webhook as whoever receives it should: by the standard library alone.

  verify_webhook.py --secret whsec_... < request          a request: headers, an empty line, the body; exit code 0 if genuine
  verify_webhook.py --secret whsec_... --listen 9000      a target to try: answers 200 to what is genuine, 401 to the rest

The signature is X-Signature: t=<seconds since 1970>,v1=<hex of HMAC-SHA256 of "<t>.<body>" under the text of the secret>.
Compare before parsing, over the bytes as they came; refuse what is old; remember X-Event-Id, for an event can come twice.
"""
import argparse
import hashlib
import hmac
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def problem(signature, body, secret, tolerance, now):
    """Why this is not genuine; None if it is."""
    parts = dict(part.split("=", 1) for part in (signature or "").split(",") if "=" in part)
    if "t" not in parts or "v1" not in parts:
        return "no signature"
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), parts["v1"].encode()):
        return "the signature does not fit"
    if abs(now - int(parts["t"])) > tolerance:
        return "too old, or from the future"
    return None


def read(stream):
    """Headers, by small letters, and the body of a request; a request line before them is passed over."""
    head, _, body = stream.read().partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}, body


def listen(port, secret, tolerance):
    class Target(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            why = problem(self.headers.get("X-Signature"), body, secret, tolerance, time.time())
            self.send_response(401 if why else 200)
            self.end_headers()
            sys.stdout.write((why or body.decode()) + "\n")
            sys.stdout.flush()

        def log_message(self, *_):
            pass

    ThreadingHTTPServer(("127.0.0.1", port), Target).serve_forever()


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--secret", required=True)
    options.add_argument("--tolerance", type=int, default=300, metavar="SECONDS", help="how old a request may be (300)")
    options.add_argument("--now", type=float, help="instead of the clock, seconds since 1970")
    options.add_argument("--listen", type=int, metavar="PORT", help="be a target on this port of 127.0.0.1")
    given = options.parse_args()
    if given.listen:
        return listen(given.listen, given.secret, given.tolerance)
    headers, body = read(sys.stdin.buffer)
    now = time.time() if given.now is None else given.now
    why = problem(headers.get("x-signature"), body, given.secret, given.tolerance, now)
    print(why or "genuine")
    return 1 if why else 0


if __name__ == "__main__":
    sys.exit(main())
