"""psycopg 3 with its defaults: a transaction around everything, and prepared after five times."""

import os
import sys

# Last: beside the contract lie folders that are called as drivers are.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import dbapi
import psycopg
from contract import MANY, say, serve


def settings(t):
    s = dict(
        host=t["host"], port=t["port"], user=t["user"], password=t["password"], dbname=t["database"], sslmode=t["sslmode"]
    )
    if t["sslrootcert"]:
        s["sslrootcert"] = t["sslrootcert"]
    if t["protocol"]:
        s["min_protocol_version"] = s["max_protocol_version"] = t["protocol"]
    return s


class User(dbapi.User):
    error, state = psycopg.Error, "sqlstate"

    def __init__(self, t):
        super().__init__(t, psycopg.connect(**settings(t)))

    def execute(self, sql, *args, **kwargs):
        return self.c.execute(sql, args or None, **kwargs)

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
        self.block()  # of a transaction() that fails psycopg believes that it has begun
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
        said = [self.code(self.execute, f"INSERT INTO {self.table} VALUES (%s, 'again')", 1)]
        self.c.rollback()
        divide = "SELECT 1 / %s::int"
        said.append(self.code(self.execute, divide, 0, prepare=True))
        said.append(self.code(self.execute, "SELECT 1"))
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

        said = [str(done), count(), self.code(fail)]
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

        said = f"{n} {self.code(bad)}"
        self.c.rollback()
        return f"{said} {self.one()}"

    def cancel_prepared(self):
        mark = self.t["user"] + "_p"
        said = self.cancelled(mark, f"SELECT pg_sleep(%s) AS {mark}", 600, prepare=True)
        self.c.rollback()
        return f"{said} {self.one()}"


def use(t):
    u = User(t)
    u.cases(
        prepared=u.prepared, many=u.many, transaction=u.transaction, error=u.errors, pipeline=u.pipeline, copy=u.copy,
        cancel_prepared=u.cancel_prepared,
    )


version = psycopg.pq.version()
say(driver="psycopg", version=f"{psycopg.__version__}, libpq {version // 10000}.{version % 10000}")
serve(use)
