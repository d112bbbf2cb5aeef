"""psycopg2 with its defaults: a transaction around everything, parameters put into the text of a simple query."""

import os
import sys

# Last: beside the contract lie folders that are called as drivers are.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import io
from datetime import date

import psycopg2
import psycopg2.extensions
from contract import BIG, PARAMETERS, ROWS, SIMPLE, SLEEP, TEXT, WHO, await_running, beside, case, say, serve, servers


def code(f, *args):
    try:
        f(*args)
    except psycopg2.Error as e:
        return e.pgcode or str(e)
    return "no error"


class User:
    def __init__(self, t):
        self.t, self.table = t, t["table"]
        more = {"sslrootcert": t["sslrootcert"]} if t["sslrootcert"] else {}
        self.c = psycopg2.connect(
            host=t["host"], port=t["port"], user=t["user"], password=t["password"], dbname=t["database"],
            sslmode=t["sslmode"], **more,
        )
        self.c.autocommit = self.single = t["mode"] == "statement"  # where no transaction is let open

    def block(self):
        """Says BEGIN where psycopg2 is not to, so that it is refused."""
        if self.single:
            self.execute("BEGIN")

    def execute(self, sql, *args):
        cur = self.c.cursor()
        cur.execute(sql, args or None)
        return cur

    def ask(self, sql, *args):
        """One query, as its own transaction."""
        rows = self.execute(sql, *args).fetchall()
        self.c.commit()
        return rows

    def one(self):
        return str(self.ask("SELECT %s::int", 1)[0][0])

    def transaction(self):
        self.block()
        with self.c:
            pid = self.execute("SELECT pg_backend_pid()").fetchone()
            for n in (1, 2):
                self.execute(f"INSERT INTO {self.table} VALUES (%s, 'kept')", n)
            if self.execute("SELECT pg_backend_pid()").fetchone() != pid:
                raise Exception("another server within a transaction")
        self.execute(f"INSERT INTO {self.table} VALUES (3, 'lost'), (4, 'lost')")
        self.c.rollback()
        return self.ask(f"SELECT count(*) FROM {self.table}")[0][0]

    def errors(self):
        self.block()
        said = [code(self.execute, f"INSERT INTO {self.table} VALUES (%s, 'again')", 1)]
        self.c.rollback()
        said.append(code(self.execute, "SELECT 1 / %s", 0))
        said.append(code(self.execute, "SELECT 1"))
        self.c.rollback()
        return " ".join(said + [self.one()])

    def copy(self):
        cur = self.c.cursor()
        cur.copy_expert(f"COPY {self.table} FROM STDIN", io.StringIO("".join(f"{n}\tcopied\n" for n in range(1000, 2000))))
        self.c.commit()
        out = io.StringIO()
        cur.copy_expert(f"COPY (SELECT n FROM {self.table} WHERE t = 'copied') TO STDOUT", out)
        self.c.commit()
        said = f"{out.getvalue().count(chr(10))} {code(cur.copy_expert, f'COPY {self.table} FROM STDIN', io.StringIO('no number' + chr(9) + 'x'))}"
        self.c.rollback()
        return f"{said} {self.one()}"

    def cursor(self):
        self.block()
        with self.c.cursor("named") as cur:
            cur.itersize = 10
            cur.execute("SELECT n FROM generate_series(1, %s) n", (1000,))
            total = sum(row[0] for row in cur)
        with self.c.cursor("named") as cur:
            cur.execute("SELECT n FROM generate_series(1, %s) n", (1000,))
            cur.fetchone()
        self.c.commit()
        return f"{total} {self.one()}"

    def big(self):
        text = self.ask("SELECT repeat('x', %s)", BIG)[0][0]
        rows = self.ask("SELECT n FROM generate_series(1, %s) n", ROWS)
        return f"{len(text)} {len(rows)} {sum(r[0] for r in rows)}"

    def cancelled(self, mark):
        b = beside(lambda: (await_running(mark), self.c.cancel()))
        said = code(self.execute, SLEEP.format(mark))
        b.joined()
        return said

    def cancel(self):
        self.c.autocommit = True
        said = [self.cancelled(self.t["user"] + "_c") for _ in range(2)] + [self.one()]
        self.c.autocommit = self.single
        return " ".join(said)

    def cancel_in_transaction(self):
        self.block()
        self.execute("SELECT 1")
        said = [self.cancelled(self.t["user"] + "_t"), code(self.execute, "SELECT 1")]
        self.c.rollback()
        return " ".join(said + [self.one()])

    def cancel_idle(self):
        self.c.cancel()
        return sum(int(self.one()) for _ in range(20))


def use(t):
    u = User(t)
    case("connect", lambda: u.ask(WHO)[0][0])
    case("query", lambda: " ".join("null" if v is None else str(v) for v in u.ask(SIMPLE)[0]))
    parameters = PARAMETERS.format(*["%s"] * 7)
    case("parameters", lambda: u.ask(parameters, 41, TEXT, None, b"\x00\xff", 1.25, [1, 2, 3], date(2026, 11, 22))[0][0])
    case("transaction", u.transaction)
    case("error", u.errors)
    case("copy", u.copy)
    case("cursor", u.cursor)
    case("big", u.big)
    case("cancel", u.cancel)
    case("cancel in a transaction", u.cancel_in_transaction)
    case("cancel idle", u.cancel_idle)
    case("servers", lambda: servers(t, lambda: u.ask("SELECT pg_backend_pid()")[0][0]))
    u.c.close()


version = psycopg2.extensions.libpq_version()
say(driver="psycopg2", version=f"{psycopg2.__version__.split()[0]}, libpq {version // 10000}.{version % 10000}")
serve(use)
