#!/usr/bin/env python3
"""Shows that no large response of the local stack is lost: large_answers.py [--calls N] [--callers N ...] [--limit N].

For each number of callers, calls `GET /api/players?limit=1000` (700 KB) N times through the API's port of the running
stack (.local/env) and compares every body with the database: the MD5 of ids, names and totals, as SQL computes it. Prints
failures, median, p99 and maximum. Exits with 1 when a call fails, or takes more than a second above the median.

    cargo local up --release --empty --detach
    infra/bench/make_players.py 1200 > /tmp/players.csv && cargo local drop /tmp/players.csv
    infra/bench/large_answers.py
"""
import argparse
import decimal
import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import threading
import time
import urllib.parse

EXPECTED = """
SELECT count(*), md5(string_agg(concat_ws('|', player_id, email, name, tier,
         round(total_deposited, 2), round(total_wagered, 2), round(total_won, 2), round(total_withdrawn, 2),
         session_count), E'\\n' ORDER BY player_id))
FROM (SELECT * FROM players JOIN player_totals USING (player_id) ORDER BY player_id LIMIT {limit}) AS page
"""
TOTALS = ("total_deposited", "total_wagered", "total_won", "total_withdrawn", "total_sessions")
WAIT_S = 40
ABOVE_MEDIAN_S = 1.0


def stack():
    state = os.environ.get("LOYALTY_LOCAL_DIR") or pathlib.Path(__file__).resolve().parents[2] / ".local"
    return dict(line.split("=", 1) for line in (pathlib.Path(state) / "env").read_text().splitlines())


def figures(body):
    """The MD5 of a page, made of the same text as EXPECTED."""
    rows = []
    for player in json.loads(body, parse_float=decimal.Decimal):
        values = [player[name] for name in ("player_id", "email", "name", "tier")]
        values += [player["metrics"][name] for name in TOTALS]
        rows.append("|".join(str(value) for value in values if value is not None))
    return hashlib.md5("\n".join(rows).encode()).hexdigest()


class Round:
    def __init__(self, env, path, expected):
        self.env, self.path, self.expected = env, path, expected
        self.lock, self.known = threading.Lock(), {}
        self.took, self.failures, self.size = [], [], 0

    def run(self, calls, callers):
        left = iter(range(calls))
        threads = [threading.Thread(target=self.call, args=(left,)) for _ in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def call(self, left):
        connection = None
        while True:
            with self.lock:
                if next(left, None) is None:
                    return
            started, problem = time.monotonic(), None
            try:
                if connection is None:
                    address = urllib.parse.urlsplit(self.env["API_URL"])
                    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=WAIT_S)
                connection.request("GET", self.path, headers={"Authorization": f"Bearer {self.env['API_KEY']}"})
                response = connection.getresponse()
                body = response.read()
                took = time.monotonic() - started
                problem = self.problem(response.status, body)
            except (OSError, http.client.HTTPException) as error:
                took, problem, connection = time.monotonic() - started, repr(error), None
            with self.lock:
                self.took.append(took)
                if problem:
                    self.failures.append(f"{problem} after {took:.3f} s")

    def problem(self, status, body):
        if status != 200:
            return f"{status} {body[:100]!r}"
        digest = hashlib.sha256(body).digest()
        # Equal bodies are read once.
        if digest not in self.known:
            self.known[digest] = figures(body)
            self.size = len(body)
        return None if self.known[digest] == self.expected else "the body is not what the database holds"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=2_000, help="calls of each round")
    parser.add_argument("--callers", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--limit", type=int, default=1_000, help="players of a page")
    options = parser.parse_args()
    env = stack()
    query = ["psql", env["DATABASE_URL"], "-XAtF", " ", "-c", EXPECTED.format(limit=options.limit)]
    players, expected = subprocess.run(query, check=True, capture_output=True, text=True).stdout.split()
    if int(players) < options.limit:
        sys.exit(f"{players} players are too few; import some: see --help")
    held = True
    for callers in options.callers:
        calls = Round(env, f"/api/players?limit={options.limit}", expected)
        calls.run(options.calls, callers)
        took = sorted(calls.took)
        median, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
        late = sum(time_s > median + ABOVE_MEDIAN_S for time_s in took)
        print(
            f"{callers} callers: {len(took)} calls of {calls.size} bytes, {len(calls.failures)} failed,"
            f" {late} late; median {median * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, max {took[-1] * 1e3:.1f} ms"
        )
        for failure in calls.failures[:5]:
            print(f"  {failure}")
        held = held and not calls.failures and not late
    print("HELD: none failed, none was late" if held else "BROKEN")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
