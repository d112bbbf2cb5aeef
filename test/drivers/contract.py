"""The contract of the driver programs, for those in Python: see README.md beside this file."""

import json
import sys
import threading

writing = threading.Lock()

only = ""  # what the names of the cases begin with that the present target is for


def say(**message):
    """Writes one line for the test."""
    with writing:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def await_running(mark):
    """Returns when a statement that holds the mark sleeps in its server: the test looks, and answers."""
    say(**{"await": mark})
    sys.stdin.readline()


def wanted(name):
    """Tells whether a case is to be done."""
    return name.startswith(only) if only else name != "cut"


def serve(use):
    """Uses each target that the test names, up to the end of the input."""
    global only
    while line := sys.stdin.readline():
        try:
            t = json.loads(line)
            only = t["cases"]
            use(t)
        except Exception as e:
            say(case="connect", failed=f"{type(e).__name__}: {e}".strip())
        say(end=True)


def patience(t):
    """How many queries the case servers asks at most until it has met two: none would do where there is one."""
    return 20 if t["mode"] in ("direct", "session") else 10_000


def servers(t, pid):
    """The case servers: pid tells the server that a query ran on."""
    first = pid()
    return "several" if any(pid() != first for _ in range(patience(t))) else "one"


def case(name, run):
    """Says what a case came to. A case that fails in a way that it did not expect says how."""
    if not wanted(name):
        return True
    try:
        say(case=name, result=str(run()))
        return True
    except Exception as e:  # whatever it is, it is the answer
        say(case=name, failed=f"{type(e).__name__}: {e}".strip())
        return False


def after_cut(code, one, anew):
    """What the case cut says: how the statement ended, and the next query, on a new connection where it must be."""
    try:
        return f"{code} {one()}"
    except Exception:
        return f"{code} again {anew()}"


def beside(run, *args):
    """Runs something on a thread of its own; what it raised is raised when it is joined."""
    return Beside(run, args)


class Beside(threading.Thread):
    def __init__(self, run, args):
        super().__init__(daemon=True)
        self.run_it, self.args, self.error = run, args, None
        self.start()

    def run(self):
        try:
            self.run_it(*self.args)
        except Exception as e:
            self.error = e

    def joined(self):
        self.join()
        if self.error is not None:
            raise self.error


# What all drivers ask, so that all say the same.
WHO = "SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_version_num')::int / 10000"
SIMPLE = "SELECT 1, 'two', NULL::text, 'gr\u00fc\u00df'"
# Parameters, in this order, for {0} to {6}.
PARAMETERS = (
    "SELECT concat_ws(' ', {0}::int + 1, {1}::text, {2}::text IS NULL, encode({3}::bytea, 'hex'), {4}::float8 * 2,"
    " {5}::int[], {6}::date)"
)
TEXT = "it's \\ \u20ac $1"
SLEEP = "SELECT pg_sleep(600) AS {}"
MANY = 30
BIG = 3_000_000
ROWS = 100_000
