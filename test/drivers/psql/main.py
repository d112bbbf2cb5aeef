"""psql in a terminal, where Ctrl-C cancels."""

import os
import pty
import re
import subprocess
import sys
import termios

sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from contract import BIG, ROWS, SIMPLE, SLEEP, WHO, await_running, case, say, serve, servers


def program():
    """psql itself: on PATH Debian has a wrapper in Perl."""
    folder = "/usr/lib/postgresql"
    found = [f"{folder}/{v}/bin/psql" for v in sorted(os.listdir(folder))] if os.path.isdir(folder) else []
    return next((p for p in reversed(found) if os.access(p, os.X_OK)), "psql")


class Terminal:
    def __init__(self, t):
        dsn = f"host={t['host']} port={t['port']} user={t['user']} dbname={t['database']} sslmode={t['sslmode']}"
        if t["sslrootcert"]:
            dsn += f" sslrootcert='{t['sslrootcert']}'"
        if t["protocol"]:
            dsn += f" min_protocol_version={t['protocol']} max_protocol_version={t['protocol']}"
        self.keys, screen = pty.openpty()
        mode = termios.tcgetattr(screen)
        mode[1] &= ~termios.OPOST
        mode[3] &= ~termios.ECHO
        termios.tcsetattr(screen, termios.TCSANOW, mode)
        self.program = subprocess.Popen(
            [program(), "-X", "-n", "-A", "-t", "-q", "-F", " ", "-P", "null=null", "-P", "pager=off",
             "-v", "VERBOSITY=sqlstate", "-v", "PROMPT1=", "-v", "PROMPT2=", "-v", "PROMPT3=", "-d", dsn],
            stdin=screen, stdout=screen, stderr=screen, env={**os.environ, "PGPASSWORD": t["password"]},
            start_new_session=True, preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),
        )
        os.close(screen)
        self.count, self.rest = 0, b""

    def type(self, text):
        os.write(self.keys, text.encode())

    def ask(self, *lines):
        """What psql says to some lines."""
        self.count += 1
        end = f"end of {self.count}"
        for line in lines + ("\\echo " + end,):
            self.type(line + "\n")
        return self.until(end)

    def until(self, end):
        mark = (end + "\n").encode()
        said = bytearray(self.rest)
        while mark not in said[-70000:]:
            try:
                more = os.read(self.keys, 65536)
            except OSError:
                more = b""
            if not more:
                raise Exception(f"psql ended: {said[-300:].decode()!r}")
            said += more
        text, self.rest = bytes(said).split(mark, 1)
        return text.decode().strip("\n")

    def cancelled(self, mark):
        """Presses Ctrl-C while a statement runs, and returns what psql says."""
        self.type(SLEEP.format(mark) + ";\n")
        await_running(mark)
        self.type("\x03")
        self.count += 1
        # Typed now it would be lost: psql drops what it had not read.
        said = bytearray()
        while not re.search(rb"ERROR|FATAL", said) or not said.endswith(b"\n"):
            said += os.read(self.keys, 65536)
        self.heard = said.decode()
        return codes(self.heard)

    def close(self):
        self.type("\\q\n")
        self.program.wait()
        os.close(self.keys)


def codes(text):
    return " ".join(re.findall(r"(?:ERROR|FATAL):  (\w{5})", text))


def use(t):
    x = Terminal(t)
    table = t["table"]

    def block():
        """Says BEGIN where no transaction is let open, so that it is refused."""
        if t["mode"] == "statement":
            raise Exception(x.ask("BEGIN;"))

    case("connect", lambda: x.ask(WHO + ";"))
    case("query", lambda: x.ask(SIMPLE + ";"))

    def run():
        block()
        pids = x.ask("BEGIN;", "SELECT pg_backend_pid();", f"INSERT INTO {table} VALUES (1, 'kept'), (2, 'kept');", "SELECT pg_backend_pid();", "COMMIT;")
        if len(set(pids.split())) != 1:
            raise Exception(pids)
        return x.ask("BEGIN;", f"INSERT INTO {table} VALUES (3, 'lost');", "ROLLBACK;", f"SELECT count(*) FROM {table};")

    case("transaction", run)

    def run():
        block()
        said = x.ask(f"INSERT INTO {table} VALUES (1, 'again');", "BEGIN;", "SELECT 1 / 0;", "SELECT 1;", "ROLLBACK;")
        return f"{codes(said)} {x.ask('SELECT 1;')}"

    case("error", run)

    def run():
        lines = [f"{n}\tcopied" for n in range(1000, 2000)]
        x.ask(f"\\copy {table} from stdin", *lines, "\\.")
        n = x.ask(f"\\copy (SELECT n FROM {table} WHERE t = 'copied') to stdout").count("\n") + 1
        bad = codes(x.ask(f"\\copy {table} from stdin", "no number\tx", "\\."))
        return f"{n} {bad} {x.ask('SELECT 1;')}"

    case("copy", run)

    def run():
        block()
        said = x.ask("\\set FETCH_COUNT 10", "SELECT n FROM generate_series(1, 1000) n;", "\\unset FETCH_COUNT")
        return f"{sum(int(n) for n in said.split())} {x.ask('SELECT 1;')}"

    case("cursor", run)

    def run():
        text = x.ask(f"SELECT repeat('x', {BIG});")
        rows = x.ask(f"SELECT n FROM generate_series(1, {ROWS}) n;").split()
        return f"{len(text)} {len(rows)} {sum(int(n) for n in rows)}"

    case("big", run)
    mark = t["user"] + "_c"
    case("cancel", lambda: f"{x.cancelled(mark)} {x.cancelled(mark)} {x.ask('SELECT 1;')}")

    def run():
        block()
        x.ask("BEGIN;")
        said = [x.cancelled(mark), codes(x.ask("SELECT 1;"))]
        x.ask("ROLLBACK;")
        return " ".join(said + [x.ask("SELECT 1;")])

    case("cancel in a transaction", run)


    def run():
        said = x.cancelled(f"{t['user']}_x{t['port']}")
        anew = "again " if "FATAL" in x.heard else ""  # psql does so by itself, and says so
        return f"{said} {anew}{x.ask('SELECT 1;').splitlines()[-1]}"

    case("cut", run)
    case("servers", lambda: servers(t, lambda: x.ask("SELECT pg_backend_pid();")))
    x.close()


version = subprocess.run([program(), "--version"], capture_output=True, text=True).stdout.split()[2]
say(driver="psql", version=version)
serve(use)
