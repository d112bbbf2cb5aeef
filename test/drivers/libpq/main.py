"""libpq itself, by its C interface: whatever is written in C, and most of what is written in Python, Ruby or PHP."""

import ctypes
import os
import sys

# Last: beside the contract lie folders that are called as drivers are.
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from contract import BIG, MANY, PARAMETERS, ROWS, SIMPLE, SLEEP, TEXT, WHO, after_cut, await_running, beside, case, say, serve, servers

pq = ctypes.CDLL("libpq.so.5")
P, S, I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int


def declare(name, result, *args):
    f = getattr(pq, name)
    f.restype, f.argtypes = result, args
    return f


STRINGS = ctypes.POINTER(S)
connectdb = declare("PQconnectdb", P, S)
finish = declare("PQfinish", None, P)
status = declare("PQstatus", I, P)
connection_error = declare("PQerrorMessage", S, P)
protocol = declare("PQprotocolVersion", I, P)
exec_ = declare("PQexec", P, P, S)
exec_params = declare("PQexecParams", P, P, S, I, P, STRINGS, P, P, I)
prepare = declare("PQprepare", P, P, S, S, I, P)
exec_prepared = declare("PQexecPrepared", P, P, S, I, STRINGS, P, P, I)
send_query_params = declare("PQsendQueryParams", I, P, S, I, P, STRINGS, P, P, I)
get_result = declare("PQgetResult", P, P)
single_row = declare("PQsetSingleRowMode", I, P)
result_status = declare("PQresultStatus", I, P)
field = declare("PQresultErrorField", S, P, I)
rows = declare("PQntuples", I, P)
value = declare("PQgetvalue", P, P, I, I)
length = declare("PQgetlength", I, P, I, I)
is_null = declare("PQgetisnull", I, P, I, I)
columns = declare("PQnfields", I, P)
clear = declare("PQclear", None, P)
put_copy = declare("PQputCopyData", I, P, S, I)
end_copy = declare("PQputCopyEnd", I, P, S)
get_copy = declare("PQgetCopyData", I, P, ctypes.POINTER(P), I)
free = declare("PQfreemem", None, P)
enter_pipeline = declare("PQenterPipelineMode", I, P)
exit_pipeline = declare("PQexitPipelineMode", I, P)
pipeline_sync = declare("PQpipelineSync", I, P)
get_cancel = declare("PQgetCancel", P, P)
free_cancel = declare("PQfreeCancel", None, P)
cancel = declare("PQcancel", I, P, ctypes.c_char_p, I)
if hasattr(pq, "PQcancelCreate"):  # libpq 17 and later: encrypted as the connection is
    cancel_create = declare("PQcancelCreate", P, P)
    cancel_blocking = declare("PQcancelBlocking", I, P)
    cancel_error = declare("PQcancelErrorMessage", S, P)
    cancel_finish = declare("PQcancelFinish", None, P)

OK, COMMAND, FATAL, PIPELINE_SYNC, ABORTED, SINGLE = 2, 1, 7, 10, 11, 9


class Failed(Exception):
    """An ErrorResponse; str is its SQLSTATE."""


def strings(values):
    return (S * len(values))(*[v if v is None else str(v).encode() for v in values])


class Connection:
    def __init__(self, t):
        text = (
            f"host={t['host']} port={t['port']} user={t['user']} password='{t['password']}' dbname={t['database']}"
            f" sslmode={t['sslmode']} sslrootcert='{t['sslrootcert']}'"
        )
        if t["protocol"]:
            text += f" min_protocol_version={t['protocol']} max_protocol_version={t['protocol']}"
        self.c = connectdb(text.encode())
        if status(self.c) != 0:
            raise Exception(connection_error(self.c).decode())

    def take(self, r):
        """What a result says: its rows as lists of text."""
        try:
            if result_status(r) in (FATAL, ABORTED):
                code = field(r, ord("C"))
                raise Failed(code.decode() if code else "aborted" if result_status(r) == ABORTED else connection_error(self.c).decode())
            return [
                [None if is_null(r, i, j) else ctypes.string_at(value(r, i, j), length(r, i, j)).decode() for j in range(columns(r))]
                for i in range(rows(r))
            ]
        finally:
            clear(r)

    def query(self, sql):
        return self.take(exec_(self.c, sql.encode()))

    def params(self, sql, *values):
        return self.take(exec_params(self.c, sql.encode(), len(values), None, strings(values), None, None, 0))

    def prepare(self, name, sql):
        self.take(prepare(self.c, name.encode(), sql.encode(), 0, None))

    def prepared(self, name, *values):
        return self.take(exec_prepared(self.c, name.encode(), len(values), strings(values), None, None, 0))

    def fails(self, f, *args):
        try:
            f(*args)
        except Failed as e:
            return str(e)
        return "no error"

    def cancel(self):
        text = ctypes.create_string_buffer(256)
        c = get_cancel(self.c)
        ok = cancel(c, text, 256)
        free_cancel(c)
        if not ok:
            raise Exception(text.value.decode())

    def cancel_encrypted(self):
        c = cancel_create(self.c)
        ok = cancel_blocking(c)
        text = cancel_error(c).decode()
        cancel_finish(c)
        if not ok:
            raise Exception(text)

    def cancelled(self, mark, f, *args, how=None):
        """Runs f, which sleeps with the mark, and cancels it from another thread."""
        b = beside(lambda: (await_running(mark), (how or self.cancel)()))
        code = self.fails(f, *args)
        b.joined()
        return code


def one(c):
    return c.query("SELECT 1")[0][0]


def use(t):
    c = Connection(t)
    table = t["table"]
    case("connect", lambda: c.query(WHO)[0][0])
    case("query", lambda: " ".join("null" if v is None else v for v in c.query(SIMPLE)[0]))
    numbers = [f"${i}" for i in range(1, 8)]
    case("parameters", lambda: c.params(PARAMETERS.format(*numbers), 41, TEXT, None, "\\x00ff", 1.25, "{1,2,3}", "2026-11-22")[0][0])

    def run():
        c.prepare("p", "SELECT $1::int * 2")
        return sum(int(c.prepared("p", n)[0][0]) for n in range(1, 13))

    case("prepared", run)

    def run():
        for i in range(MANY):
            c.prepare(f"m{i}", f"SELECT $1::int + {i}")
        return sum(int(c.prepared(f"m{i}", n)[0][0]) for n in range(3) for i in range(MANY))

    case("many", run)

    def run():
        c.query("BEGIN")
        pid = c.query("SELECT pg_backend_pid()")
        for n in (1, 2):
            c.params(f"INSERT INTO {table} VALUES ($1, 'kept')", n)
        if c.query("SELECT pg_backend_pid()") != pid:
            raise Exception("another server within a transaction")
        c.query("COMMIT")
        c.query("BEGIN")
        c.params(f"INSERT INTO {table} VALUES ($1, 'lost')", 3)
        c.query("ROLLBACK")
        return c.query(f"SELECT count(*) FROM {table}")[0][0]

    case("transaction", run)

    def run():
        codes = [c.fails(c.params, f"INSERT INTO {table} VALUES ($1, 'again')", 1)]
        c.prepare("d", "SELECT 1 / $1::int")
        codes.append(c.fails(c.prepared, "d", 0))
        c.query("BEGIN")
        c.fails(c.query, "SELECT 1 / 0")
        codes.append(c.fails(c.query, "SELECT 1"))
        c.query("ROLLBACK")
        return " ".join(codes + [c.prepared("d", 1)[0][0]])

    case("error", run)
    case("pipeline", lambda: pipeline(c, table))
    case("copy", lambda: copy(c, table))

    def run():  # a row at a time, while the server sends
        send_query_params(c.c, b"SELECT n FROM generate_series(1, $1::int) n", 1, None, strings([1000]), None, None, 0)
        single_row(c.c)
        total = 0
        while r := get_result(c.c):
            for row in c.take(r):
                total += int(row[0])
        return f"{total} {one(c)}"

    case("cursor", run)

    def run():
        text = c.params("SELECT repeat('x', $1)", BIG)[0][0]
        all_rows = c.params("SELECT n FROM generate_series(1, $1::int) n", ROWS)
        return f"{len(text)} {len(all_rows)} {sum(int(r[0]) for r in all_rows)}"

    case("big", run)
    cancels(c, t)

    case("servers", lambda: servers(t, lambda: c.query("SELECT pg_backend_pid()")[0][0]))
    finish(c.c)


def pipeline(c, table):
    """A batch that succeeds, then one whose third insert fails."""

    def batch(values):
        enter_pipeline(c.c)
        for n in values:
            send_query_params(c.c, f"INSERT INTO {table} VALUES ($1, 'batch')".encode(), 1, None, strings([n]), None, None, 0)
        pipeline_sync(c.c)
        codes, done = [], 0
        while True:
            r = get_result(c.c)
            if not r:
                continue
            if result_status(r) == PIPELINE_SYNC:
                clear(r)
                break
            try:
                c.take(r)
                done += 1
            except Failed as e:
                codes.append(str(e))
        exit_pipeline(c.c)
        return done, codes

    def count():
        return c.query(f"SELECT count(*) FROM {table} WHERE t = 'batch'")[0][0]

    done, _ = batch(range(100, 110))
    said = [str(done), count()]
    _, codes = batch([200, 201, 100, 202])
    return " ".join(said + codes[:1] + [count()])


def copy(c, table):
    def put(lines):
        clear(exec_(c.c, f"COPY {table} FROM STDIN".encode()))
        for line in lines:
            put_copy(c.c, line.encode(), len(line.encode()))
        end_copy(c.c, None)
        c.take(get_result(c.c))
        get_result(c.c)

    put(f"{n}\tcopied\n" for n in range(1000, 2000))
    clear(exec_(c.c, f"COPY (SELECT n FROM {table} WHERE t = 'copied') TO STDOUT".encode()))
    n, buffer = 0, P()
    while get_copy(c.c, ctypes.byref(buffer), 0) > 0:
        n += 1
        free(buffer)
    c.take(get_result(c.c))
    get_result(c.c)

    def bad():
        try:
            put(["no number\tx\n"])
        finally:
            get_result(c.c)

    return f"{n} {c.fails(bad)} {one(c)}"


def cancels(c, t):
    means = [("cancel", c.cancel)]
    if hasattr(pq, "PQcancelCreate"):
        means.append(("cancel encrypted", c.cancel_encrypted))
    for name, how in means:
        mark = t["user"] + "_c"
        case(name, lambda: " ".join([c.cancelled(mark, c.query, SLEEP.format(mark), how=how) for _ in range(2)] + [one(c)]))

    def run():
        c.query("BEGIN")
        c.query("SELECT 1")
        mark = t["user"] + "_t"
        said = [c.cancelled(mark, c.query, SLEEP.format(mark)), c.fails(one, c)]
        c.query("ROLLBACK")
        return " ".join(said + [one(c)])

    case("cancel in a transaction", run)

    def run():
        mark = t["user"] + "_p"
        c.prepare("s", f"SELECT pg_sleep($1) AS {mark}")
        return f"{c.cancelled(mark, c.prepared, 's', 600)} {one(c)}"

    case("cancel prepared", run)

    def run():
        mark = f"{t['user']}_x{t['port']}"
        return after_cut(c.cancelled(mark, c.query, SLEEP.format(mark)), lambda: one(c), lambda: one(Connection(t)))

    case("cut", run)

    def run():
        c.cancel()
        return sum(int(one(c)) for _ in range(20))

    case("cancel idle", run)


version = declare("PQlibVersion", I)()
say(driver="libpq", version=f"{version // 10000}.{version % 10000}")
serve(use)
