"""pgbench, which speaks every form of the protocol: a number of transactions, all of which must be done."""

import os
import re
import subprocess
import sys
import tempfile

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from contract import case, say, serve


def program():
    """pgbench itself: on PATH Debian has a wrapper in Perl."""
    folder = "/usr/lib/postgresql"
    found = [f"{folder}/{v}/bin/pgbench" for v in sorted(os.listdir(folder))] if os.path.isdir(folder) else []
    return next((p for p in reversed(found) if os.access(p, os.X_OK)), "pgbench")


def bench(t, protocol, script):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as f:
        f.write(script)
        f.flush()
        more = {"PGSSLROOTCERT": t["sslrootcert"]} if t["sslrootcert"] else {}
        done = subprocess.run(
            [program(), "-n", "-h", t["host"], "-p", str(t["port"]), "-U", t["user"], "-M", protocol, "-c", "2", "-j", "2",
             "-t", "30", "-f", f.name, t["database"]],
            capture_output=True, text=True, env={**os.environ, **more, "PGSSLMODE": t["sslmode"], "PGPASSWORD": t["password"]},
        )
    found = re.search(r"actually processed: (\d+/\d+)\n(?:number of failed transactions: (\d+))?", done.stdout)
    if done.returncode != 0 or not found:
        raise Exception(done.stderr)
    return found.group(1)


def use(t):
    queries = f"""\\set n random(1, 1000000)
SELECT :n + 1;
SELECT count(*) FROM {t['table']} WHERE n = :n;
"""
    transaction = f"""\\set n random(1, 1000000)
BEGIN;
INSERT INTO {t['table']} VALUES (:n, 'benched') ON CONFLICT (n) DO UPDATE SET t = 'again';
SELECT count(*) FROM {t['table']} WHERE n = :n;
END;
"""
    lines = "\\startpipeline\n" + queries.split("\n", 1)[1] + queries.split("\n", 1)[1] + "\\endpipeline\n"
    lines = "\\set n random(1, 1000000)\n" + lines
    case("query", lambda: bench(t, "simple", queries))
    case("parameters", lambda: bench(t, "extended", queries))
    case("prepared", lambda: bench(t, "prepared", queries))
    case("transaction", lambda: " ".join(bench(t, m, transaction) for m in ("simple", "extended", "prepared")))
    case("pipeline", lambda: " ".join(bench(t, m, lines) for m in ("extended", "prepared")))


version = subprocess.run([program(), "--version"], capture_output=True, text=True).stdout.split()[2]
say(driver="pgbench", version=version)
serve(use)
