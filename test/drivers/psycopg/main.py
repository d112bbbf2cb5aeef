"""psycopg 3 with its defaults: a transaction around everything, and prepared after five times."""

import os
import sys

# Last: beside the contract lie folders that are called as drivers are.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from datetime import date

import psycopg
from contract import BIG, MANY, PARAMETERS, ROWS, SIMPLE, SLEEP, TEXT, WHO, await_running, beside, case, say, serve, servers


def settings(t):
    s = dict(
        host=t["host"], port=t["port"], user=t["user"], password=t["password"], dbname=t["database"], sslmode=t["sslmode"]
    )
    if t["sslrootcert"]:
        s["sslrootcert"] = t["sslrootcert"]
    if t["protocol"]:
        s["min_protocol_version"] = s["max_protocol_version"] = t["protocol"]
    return s


def code(f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except psycopg.Error as e:
        return e.sqlstate or str(e)
    return "no error"


class User:
    def __init__(self, t):
        self.t, self.table = t, t["table"]
        self.single = t["mode"] == "statement"  # where no transaction is let open
        self.c = psycopg.connect(**settings(t), autocommit=self.single)

    def block(self):
        """Says BEGIN itself where it is refused: of a transaction() that fails psycopg believes that it has begun."""
        if self.single:
            self.c.execute("BEGIN")

    def ask(self, sql, *args, **kwargs):
        """One query, as its own transaction."""
        rows = self.c.execute(sql, args or None, **kwargs).fetchall()
        self.c.commit()
        return rows

    def one(self):
        return str(self.ask("SELECT %s::int", 1)[0][0])

    def prepared(self):
        return sum(self.ask("SELECT %s::int * 2", n)[0][0] for n in range(1, 13))

    def many(self):
        # With more than prepared_max it says DEALLOCATE.
        self.c.autocommit, self.c.prepared_max = True, 10
        try:
            return sum(self.ask(f"SELECT %s::int + {i}", n, prepare=True)[0][0] for n in range(3) for i in range(MANY))
        finally:
            self.c.autocommit, self.c.prepared_max = self.single, 100

    def transaction(self):
        self.block()
        with self.c.transaction():
            pid = self.c.execute("SELECT pg_backend_pid()").fetchone()
            for n in (1, 2):
                self.c.execute(f"INSERT INTO {self.table} VALUES (%s, 'kept')", (n,))
            if self.c.execute("SELECT pg_backend_pid()").fetchone() != pid:
                raise Exception("another server within a transaction")
        with self.c.transaction() as tx:
            self.c.execute(f"INSERT INTO {self.table} VALUES (3, 'lost')")
            with self.c.transaction(force_rollback=True):
                self.c.execute(f"INSERT INTO {self.table} VALUES (4, 'lost')")
            raise psycopg.Rollback(tx)
        return self.ask(f"SELECT count(*) FROM {self.table}")[0][0]

    def errors(self):
        self.block()
        said = [code(self.c.execute, f"INSERT INTO {self.table} VALUES (%s, 'again')", (1,))]
        self.c.rollback()
        divide = "SELECT 1 / %s::int"
        said.append(code(self.c.execute, divide, (0,), prepare=True))
        said.append(code(self.c.execute, "SELECT 1"))
        self.c.rollback()
        return " ".join(said + [str(self.ask(divide, 1, prepare=True)[0][0])])

    def pipeline(self):
        insert = f"INSERT INTO {self.table} VALUES (%s, 'batch')"

        def count():
            return str(self.ask(f"SELECT count(*) FROM {self.table} WHERE t = 'batch'")[0][0])

        with self.c.pipeline():
            cursors = [self.c.execute(insert, (n,)) for n in range(100, 110)]
        self.c.commit()
        done = sum(cur.rowcount for cur in cursors)

        def fail():
            with self.c.pipeline():
                for n in (200, 201, 100, 202):
                    self.c.execute(insert, (n,))

        said = [str(done), count(), code(fail)]
        self.c.rollback()
        return " ".join(said + [count()])

    def copy(self):
        with self.c.cursor().copy(f"COPY {self.table} FROM STDIN") as copy:
            for n in range(1000, 2000):
                copy.write_row((n, "copied"))
        self.c.commit()
        with self.c.cursor().copy(f"COPY (SELECT n FROM {self.table} WHERE t = 'copied') TO STDOUT") as copy:
            n = sum(1 for _ in copy.rows())
        self.c.commit()

        def bad():
            with self.c.cursor().copy(f"COPY {self.table} FROM STDIN") as copy:
                copy.write("no number\tx\n")

        said = f"{n} {code(bad)}"
        self.c.rollback()
        return f"{said} {self.one()}"

    def cursor(self):
        self.block()
        with self.c.cursor(name="named") as cur:
            cur.itersize = 10
            cur.execute("SELECT n FROM generate_series(1, %s) n", (1000,))
            total = sum(row[0] for row in cur)
        with self.c.cursor(name="named") as cur:
            cur.execute("SELECT n FROM generate_series(1, %s) n", (1000,))
            cur.fetchone()
        self.c.commit()
        return f"{total} {self.one()}"

    def big(self):
        text = self.ask("SELECT repeat('x', %s)", BIG)[0][0]
        rows = self.ask("SELECT n FROM generate_series(1, %s) n", ROWS)
        return f"{len(text)} {len(rows)} {sum(r[0] for r in rows)}"

    def cancelled(self, mark, *args, **kwargs):
        b = beside(lambda: (await_running(mark), self.c.cancel()))
        said = code(self.c.execute, *args, **kwargs)
        b.joined()
        return said

    def cancel(self):
        mark = self.t["user"] + "_c"
        self.c.autocommit = True
        said = [self.cancelled(mark, SLEEP.format(mark)) for _ in range(2)] + [self.one()]
        self.c.autocommit = self.single
        return " ".join(said)

    def cancel_in_transaction(self):
        mark = self.t["user"] + "_t"
        self.block()
        self.c.execute("SELECT 1")
        said = [self.cancelled(mark, SLEEP.format(mark)), code(self.c.execute, "SELECT 1")]
        self.c.rollback()
        return " ".join(said + [self.one()])

    def cancel_prepared(self):
        mark = self.t["user"] + "_p"
        said = self.cancelled(mark, f"SELECT pg_sleep(%s) AS {mark}", (600,), prepare=True)
        self.c.rollback()
        return f"{said} {self.one()}"

    def cancel_idle(self):
        self.c.cancel()
        return sum(int(self.one()) for _ in range(20))


def use(t):
    u = User(t)
    case("connect", lambda: u.ask(WHO)[0][0])
    case("query", lambda: " ".join("null" if v is None else str(v) for v in u.ask(SIMPLE)[0]))
    parameters = PARAMETERS.format(*["%s"] * 7)
    case("parameters", lambda: u.ask(parameters, 41, TEXT, None, b"\x00\xff", 1.25, [1, 2, 3], date(2026, 11, 22))[0][0])
    case("prepared", u.prepared)
    case("many", u.many)
    case("transaction", u.transaction)
    case("error", u.errors)
    case("pipeline", u.pipeline)
    case("copy", u.copy)
    case("cursor", u.cursor)
    case("big", u.big)
    case("cancel", u.cancel)
    case("cancel in a transaction", u.cancel_in_transaction)
    case("cancel prepared", u.cancel_prepared)
    case("cancel idle", u.cancel_idle)
    case("servers", lambda: servers(t, lambda: u.ask("SELECT pg_backend_pid()")[0][0]))
    u.c.close()


version = psycopg.pq.version()
say(driver="psycopg", version=f"{psycopg.__version__}, libpq {version // 10000}.{version % 10000}")
serve(use)
