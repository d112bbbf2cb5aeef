"""What psycopg 3 and psycopg2 do alike: each has a transaction around everything, and errors with a code."""

from datetime import date

from contract import BIG, PARAMETERS, ROWS, SIMPLE, SLEEP, TEXT, WHO, after_cut, await_running, beside, case, servers


class User:
    """One run of the cases on a connection. A driver says what its errors are, where their code is, and how to execute."""

    error, state = None, None

    def __init__(self, t, connection):
        self.t, self.table, self.c = t, t["table"], connection
        self.single = t["mode"] == "statement"  # where no transaction is let open
        self.c.autocommit = self.single

    def code(self, f, *args, **kwargs):
        try:
            f(*args, **kwargs)
        except self.error as e:
            return getattr(e, self.state) or str(e)
        return "no error"

    def block(self):
        """Says BEGIN itself where the driver is not to, so that it is refused."""
        if self.single:
            self.execute("BEGIN")

    def ask(self, sql, *args, **kwargs):
        """One query, as its own transaction."""
        rows = self.execute(sql, *args, **kwargs).fetchall()
        self.c.commit()
        return rows

    def one(self):
        return str(self.ask("SELECT %s::int", 1)[0][0])

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

    def cancelled(self, mark, sql, *args, **kwargs):
        b = beside(lambda: (await_running(mark), self.c.cancel()))
        said = self.code(self.execute, sql, *args, **kwargs)
        b.joined()
        return said

    def cancel(self):
        mark = self.t["user"] + "_c"
        self.c.autocommit = True
        said = [self.cancelled(mark, SLEEP.format(mark)) for _ in range(2)] + [self.one()]
        self.c.autocommit = self.single
        return " ".join(said)

    def cut(self):
        mark = f"{self.t['user']}_x{self.t['port']}"
        self.c.autocommit = True
        said = self.cancelled(mark, SLEEP.format(mark))
        return after_cut(said, self.one, lambda: type(self)(self.t).one())

    def cancel_in_transaction(self):
        mark = self.t["user"] + "_t"
        self.block()
        self.execute("SELECT 1")
        said = [self.cancelled(mark, SLEEP.format(mark)), self.code(self.execute, "SELECT 1")]
        self.c.rollback()
        return " ".join(said + [self.one()])

    def cancel_idle(self):
        self.c.cancel()
        return sum(int(self.one()) for _ in range(20))

    def cases(self, **own):
        """Does all cases, those of the driver's own among them, in the contract's order, and leaves."""
        parameters = PARAMETERS.format(*["%s"] * 7)
        given = (41, TEXT, None, b"\x00\xff", 1.25, [1, 2, 3], date(2026, 11, 22))
        case("connect", lambda: self.ask(WHO)[0][0])
        case("query", lambda: " ".join("null" if v is None else str(v) for v in self.ask(SIMPLE)[0]))
        case("parameters", lambda: self.ask(parameters, *given)[0][0])
        for name in ("prepared", "many", "transaction", "error", "pipeline", "copy"):
            if name in own:
                case(name, own.pop(name))
        case("cursor", self.cursor)
        case("big", self.big)
        case("cancel", self.cancel)
        case("cancel in a transaction", self.cancel_in_transaction)
        for name, run in own.items():
            case(name.replace("_", " "), run)
        case("cancel idle", self.cancel_idle)
        case("cut", self.cut)
        case("servers", lambda: servers(self.t, lambda: self.ask("SELECT pg_backend_pid()")[0][0]))
        self.c.close()
