"""psycopg2 with its defaults: a transaction around everything, parameters put into the text of a simple query."""

import os
import sys

# Last: beside the contract lie folders that are called as drivers are.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import io

import dbapi
import psycopg2
import psycopg2.extensions
from contract import say, serve


class User(dbapi.User):
    error, state = psycopg2.Error, "pgcode"

    def __init__(self, t):
        more = {"sslrootcert": t["sslrootcert"]} if t["sslrootcert"] else {}
        connection = psycopg2.connect(
            host=t["host"], port=t["port"], user=t["user"], password=t["password"], dbname=t["database"],
            sslmode=t["sslmode"], **more,
        )
        super().__init__(t, connection)

    def execute(self, sql, *args):
        cur = self.c.cursor()
        cur.execute(sql, args or None)
        return cur

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
        said = [self.code(self.execute, f"INSERT INTO {self.table} VALUES (%s, 'again')", 1)]
        self.c.rollback()
        said.append(self.code(self.execute, "SELECT 1 / %s", 0))
        said.append(self.code(self.execute, "SELECT 1"))
        self.c.rollback()
        return " ".join(said + [self.one()])

    def copy(self):
        cur = self.c.cursor()
        cur.copy_expert(f"COPY {self.table} FROM STDIN", io.StringIO("".join(f"{n}\tcopied\n" for n in range(1000, 2000))))
        self.c.commit()
        out = io.StringIO()
        cur.copy_expert(f"COPY (SELECT n FROM {self.table} WHERE t = 'copied') TO STDOUT", out)
        self.c.commit()
        said = f"{out.getvalue().count(chr(10))} {self.code(cur.copy_expert, f'COPY {self.table} FROM STDIN', io.StringIO('no number' + chr(9) + 'x'))}"
        self.c.rollback()
        return f"{said} {self.one()}"


def use(t):
    u = User(t)
    u.cases(transaction=u.transaction, error=u.errors, copy=u.copy)


version = psycopg2.extensions.libpq_version()
say(driver="psycopg2", version=f"{psycopg2.__version__.split()[0]}, libpq {version // 10000}.{version % 10000}")
serve(use)
