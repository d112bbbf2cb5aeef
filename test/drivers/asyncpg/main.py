"""asyncpg with its defaults: everything is prepared, and a task that is cancelled cancels its statement."""

import asyncio
import os
import ssl
import sys

# Last: beside the contract lies a folder that is called as the driver is.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import io
from datetime import date

import asyncpg
from contract import BIG, MANY, PARAMETERS, ROWS, SIMPLE, SLEEP, TEXT, WHO, await_running, patience, say, serve, wanted


async def case(name, run):
    if not wanted(name):
        return
    try:
        say(case=name, result=str(await run()))
    except (Exception, asyncio.CancelledError) as e:
        say(case=name, failed=f"{type(e).__name__}: {e}".strip())


async def code(answer):
    try:
        await answer
    except asyncpg.PostgresError as e:
        return e.sqlstate
    except asyncio.TimeoutError:
        return "timeout"
    except asyncio.CancelledError:
        return "cancelled"
    return "no error"


class User:
    def __init__(self, t, c):
        self.t, self.table, self.c = t, t["table"], c

    async def block(self):
        """Says BEGIN itself where it is refused: of a transaction() that fails asyncpg believes that it has begun."""
        if self.t["mode"] == "statement":
            await self.c.execute("BEGIN")

    async def one(self):
        return str(await self.c.fetchval("SELECT $1::int", 1))

    async def query(self):
        row = await self.c.fetchrow(SIMPLE)
        return " ".join("null" if v is None else str(v) for v in row)

    async def parameters(self):
        sql = PARAMETERS.format(*[f"${i}" for i in range(1, 8)])
        return await self.c.fetchval(sql, 41, TEXT, None, b"\x00\xff", 1.25, [1, 2, 3], date(2026, 11, 22))

    async def prepared(self):
        statement = await self.c.prepare("SELECT $1::int * 2")
        return sum([await statement.fetchval(n) for n in range(1, 13)])

    async def many(self):
        return sum([await self.c.fetchval(f"SELECT $1::int + {i}", n) for n in range(3) for i in range(MANY)])

    async def transaction(self):
        await self.block()
        insert = f"INSERT INTO {self.table} VALUES ($1, 'kept') RETURNING pg_backend_pid()"
        async with self.c.transaction():
            pids = {await self.c.fetchval(insert, n) for n in (1, 2)}
        if len(pids) != 1:
            raise Exception("another server within a transaction")
        lost = self.c.transaction()
        await lost.start()
        for n in (3, 4):
            await self.c.fetchval(insert, n)
        await lost.rollback()
        return await self.c.fetchval(f"SELECT count(*) FROM {self.table}")

    async def types(self):
        """A type that asyncpg has to ask for: it looks it up in the catalogue, with settings of its own."""
        await self.c.execute(f"INSERT INTO {self.table} VALUES (1, 'kept') ON CONFLICT DO NOTHING")
        row = await self.c.fetchval(f"SELECT x FROM {self.table} x ORDER BY n LIMIT 1")
        return f"{row['n']} {row['t']}"

    async def errors(self):
        await self.block()
        said = [await code(self.c.execute(f"INSERT INTO {self.table} VALUES ($1, 'again')", 1))]
        divide = await self.c.prepare("SELECT 1 / $1::int")
        said.append(await code(divide.fetchval(0)))
        tx = self.c.transaction()
        await tx.start()
        await code(self.c.execute("SELECT 1 / 0"))
        said.append(await code(self.c.execute("SELECT 1")))
        await tx.rollback()
        return " ".join(said + [str(await divide.fetchval(1))])

    async def pipeline(self):
        insert = f"INSERT INTO {self.table} VALUES ($1, 'batch')"

        async def count():
            return str(await self.c.fetchval(f"SELECT count(*) FROM {self.table} WHERE t = 'batch'"))

        await self.c.executemany(insert, [(n,) for n in range(100, 110)])
        said = ["10", await count()]
        said.append(await code(self.c.executemany(insert, [(n,) for n in (200, 201, 100, 202)])))
        return " ".join(said + [await count()])

    async def copy(self):
        await self.c.copy_records_to_table(self.table, records=[(n, "copied") for n in range(1000, 2000)])
        out = io.BytesIO()
        await self.c.copy_from_query(f"SELECT n FROM {self.table} WHERE t = $1", "copied", output=out)
        bad = await code(self.c.copy_to_table(self.table, source=io.BytesIO(b"no number\tx\n")))
        return f"{out.getvalue().count(bytes([10]))} {bad} {await self.one()}"

    async def cursor(self):
        await self.block()
        async with self.c.transaction():
            total = 0
            async for row in self.c.cursor("SELECT n FROM generate_series(1, $1::int) n", 1000, prefetch=10):
                total += row[0]
            early = await self.c.cursor("SELECT n FROM generate_series(1, $1::int) n", 1000)
            await early.fetchrow()
        return f"{total} {await self.one()}"

    async def big(self):
        text = await self.c.fetchval("SELECT repeat('x', $1)", BIG)
        rows = await self.c.fetch("SELECT n FROM generate_series(1, $1::int) n", ROWS)
        return f"{len(text)} {len(rows)} {sum(r[0] for r in rows)}"

    async def cancelled(self, mark, answer):
        task = asyncio.ensure_future(answer)
        await asyncio.get_running_loop().run_in_executor(None, await_running, mark)
        task.cancel()
        return await code(task)

    async def cancel(self):
        # Marks of their own: a statement may still run when its task is said to be cancelled.
        said = []
        for mark in (self.t["user"] + "_c1", self.t["user"] + "_c2"):
            said.append(await self.cancelled(mark, self.c.execute(SLEEP.format(mark))))
        return " ".join(said + [await self.one()])

    async def cancel_in_transaction(self):
        await self.block()
        mark = self.t["user"] + "_t"
        tx = self.c.transaction()
        await tx.start()
        said = [await self.cancelled(mark, self.c.execute(SLEEP.format(mark))), await code(self.c.execute("SELECT 1"))]
        await tx.rollback()
        return " ".join(said + [await self.one()])

    async def cancel_prepared(self):
        mark = self.t["user"] + "_p"
        statement = await self.c.prepare(f"SELECT pg_sleep($1) AS {mark}")
        return f"{await self.cancelled(mark, statement.fetchval(600))} {await self.one()}"

    async def cut(self):
        mark = f"{self.t['user']}_x{self.t['port']}"
        said = await self.cancelled(mark, self.c.execute(SLEEP.format(mark)))
        if self.t["mode"] != "session":
            return f"{said} {await self.one()}"
        # A query that is asked for before the end of the connection was heard of would never be answered.
        while not self.c.is_closed():
            await asyncio.sleep(0.01)
        return f"{said} again {await User(self.t, await connect(self.t)).one()}"

    async def timeout(self):
        return f"{await code(self.c.execute('SELECT pg_sleep(600)', timeout=0.3))} {await self.one()}"

    async def servers(self):
        first = await self.c.fetchval("SELECT pg_backend_pid()")
        for _ in range(patience(self.t)):
            if await self.c.fetchval("SELECT pg_backend_pid()") != first:
                return "several"
        return "one"


async def connect(t):
    return await asyncpg.connect(
        host=t["host"], port=t["port"], user=t["user"], password=t["password"], database=t["database"],
        ssl=ssl.create_default_context(cafile=t["sslrootcert"]) if t["sslrootcert"] else False,
    )


async def work(t):
    c = await connect(t)
    u = User(t, c)
    await case("connect", lambda: c.fetchval(WHO))
    await case("query", u.query)
    await case("parameters", u.parameters)
    await case("prepared", u.prepared)
    await case("many", u.many)
    await case("transaction", u.transaction)
    await case("types", u.types)
    await case("error", u.errors)
    await case("pipeline", u.pipeline)
    await case("copy", u.copy)
    await case("cursor", u.cursor)
    await case("big", u.big)
    await case("cancel", u.cancel)
    await case("cancel in a transaction", u.cancel_in_transaction)
    await case("cancel prepared", u.cancel_prepared)
    await case("timeout", u.timeout)
    await case("cut", u.cut)
    await case("servers", u.servers)
    await c.close()


say(driver="asyncpg", version=asyncpg.__version__)
serve(lambda t: asyncio.run(work(t)))
