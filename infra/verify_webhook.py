#!/usr/bin/env python3
"""Verifies the signature of a webhook, as every receiver should. Needs only the standard library.

  verify_webhook.py --secret whsec_... < request      reads a request from stdin; exits with 0 if it is genuine
  verify_webhook.py --secret whsec_... --listen 9000  test receiver: responds with 200 to genuine requests, else 401

X-Signature is t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>.<body>" under the whole text of the secret>.
Verify the raw bytes before parsing them, refuse old requests, and remember X-Event-Id: an event may arrive twice.
"""
import argparse
import hashlib
import hmac
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def problem(signature, body, secret, tolerance, now):
    """Returns why the request is not genuine; None if it is."""
    parts = dict(part.split("=", 1) for part in (signature or "").split(",") if "=" in part)
    if "t" not in parts or "v1" not in parts:
        return "no signature"
    expected = hmac.new(secret.encode(), parts["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), parts["v1"].encode()):
        return "the signature does not match"
    if abs(now - int(parts["t"])) > tolerance:
        return "the time is too old or in the future"
    return None


def read(stream):
    """Returns the headers, with lower-case names, and the body. Skips a request line."""
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
    options.add_argument("--tolerance", type=int, default=300, metavar="SECONDS", help="maximum age (default: 300)")
    options.add_argument("--now", type=float, help="Unix seconds to use instead of the clock")
    options.add_argument("--listen", type=int, metavar="PORT", help="run a test receiver on this port of 127.0.0.1")
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
