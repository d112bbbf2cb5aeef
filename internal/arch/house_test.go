package arch

// ring is a distance from the middle. Imports only point inwards.
type ring int

const (
	words   ring = iota // what is said on the wire: pure
	rules               // what is done about it: pure
	drivers             // sockets, goroutines, clocks
	top                 // builds, starts and stops the rest; sees everything
	bench               // for tests: sees everything, and only tests see it
)

// room is one package of the house.
type room struct {
	path   string
	ring   ring
	beside []string // what it imports of its own ring
	vendor []string // what it imports of others' modules, tests aside
	alone  bool     // it looks at us from outside: it imports nothing of ours but what is beside it
	replay bool     // outside the pure rings, and yet pure but for the randomness it is seeded with
}

// pure says whether what the package does depends on what it is told alone.
func (r room) pure() bool { return r.ring <= rules || r.replay }

// house is every package there is. A new one is given a ring here before it is written.
var house = []room{
	{path: "internal/wire", ring: words},
	{path: "internal/sqlstate", ring: words},

	{path: "internal/config", ring: rules, beside: unitAndEvent, vendor: []string{"github.com/pelletier/go-toml/v2"}},
	{path: "internal/auth", ring: rules, beside: unitAndEvent, vendor: []string{"github.com/xdg-go/scram", "github.com/xdg-go/stringprep"}},
	{path: "internal/key", ring: rules, beside: unitAndEvent},
	{path: "internal/unit", ring: rules, beside: []string{"internal/event"}},
	{path: "internal/event", ring: rules},
	{path: "internal/session", ring: rules, beside: unitAndEvent},
	{path: "internal/lease", ring: rules, beside: unitAndEvent},
	{path: "internal/relay", ring: rules, beside: []string{"internal/event"}},
	{path: "internal/engine", ring: rules, beside: []string{
		"internal/config", "internal/auth", "internal/key", "internal/unit", "internal/event", "internal/session", "internal/lease",
	}},

	{path: "internal/loop", ring: drivers, vendor: []string{"golang.org/x/sys/unix"}},
	{path: "internal/listen", ring: drivers, vendor: []string{"golang.org/x/sys/unix"}},
	{path: "internal/proxy", ring: drivers, beside: []string{"internal/loop", "internal/listen"}, vendor: []string{"golang.org/x/sys/unix", "github.com/jackc/pgpassfile"}},
	{path: "internal/takeover", ring: drivers, beside: []string{"internal/listen"}, vendor: []string{"golang.org/x/sys/unix", "github.com/coreos/go-systemd/v22/activation"}},
	{path: "internal/peer", ring: drivers},
	{path: "internal/obs", ring: drivers, vendor: []string{"github.com/prometheus/client_golang"}},
	{path: "internal/admin", ring: drivers, vendor: []string{"github.com/jackc/pgx/v5"}},
	{path: "probe", ring: drivers, alone: true, vendor: []string{"github.com/jackc/pgx/v5", "github.com/xdg-go/scram"}},
	{path: "internal/postgres", ring: drivers, vendor: []string{"golang.org/x/sys/unix"}},

	{path: "internal/app", ring: top, beside: nil, vendor: []string{"golang.org/x/sys/unix", "github.com/prometheus/client_golang", "github.com/jackc/pgpassfile"}},
	{path: "internal/demo", ring: top, beside: []string{"internal/app"}, vendor: []string{"github.com/spf13/cobra", "golang.org/x/sys/unix"}},
	{path: "internal/cli", ring: top, beside: []string{"internal/app", "internal/demo"}, vendor: []string{"github.com/spf13/cobra", "github.com/coreos/go-systemd/v22/daemon", "github.com/spf13/pflag", "golang.org/x/sys/unix"}},
	{path: "cmd/cancello", ring: top, beside: []string{"internal/cli"}},

	{path: "internal/sim", ring: bench, replay: true},
	{path: "internal/pgtest", ring: bench},
	{path: "internal/pgtest/fake", ring: bench, vendor: []string{"github.com/xdg-go/scram"}},
	{path: "internal/pgtest/contract", ring: bench},
	{path: "probe/fake", ring: bench, alone: true, vendor: []string{"github.com/jackc/pgx/v5", "github.com/xdg-go/scram"}},
	{path: "internal/pgtest/shorthand", ring: bench},
	{path: "internal/arch", ring: bench},
	{path: "test", ring: bench, beside: []string{"internal/pgtest"}},
	{path: "bench/budget", ring: bench, beside: []string{"internal/pgtest/shorthand"}, vendor: []string{"golang.org/x/sys/unix"}},
	{path: "bench", ring: bench, beside: []string{"internal/pgtest"}, vendor: []string{"github.com/jackc/pgx/v5", "golang.org/x/sys/unix"}},
}

var unitAndEvent = []string{"internal/unit", "internal/event"}

// testVendor is what tests of any package may import besides; tests may also import the bench side.
var testVendor = []string{
	"github.com/cockroachdb/datadriven",
	"github.com/google/go-cmp",
	"github.com/jackc/pgx/v5",
	"github.com/prometheus/client_golang",
	"github.com/rogpeppe/go-internal",
	"go.uber.org/goleak",
	"golang.org/x/sys/unix",
	"golang.org/x/tools", // this package's
}

// impure is what words and rules keep away from: each makes what they do depend on more than what they are told.
var impure = []string{
	"context", "crypto/rand", "io/ioutil", "log", "log/syslog", "log/slog", "math/rand", "math/rand/v2",
	"net", "os", "runtime", "sync", "syscall", "testing", "unsafe",
}

// addresses is what of package net is pure: values, and what they mean.
const addresses = "net/netip"

// seeded is what a package that replays may import of these.
const seeded = "math/rand/v2"

// clock is what of package time they keep away from.
var clock = []string{"After", "AfterFunc", "NewTicker", "NewTimer", "Now", "Since", "Sleep", "Tick", "Until"}

// Limits on size, in lines.
const (
	maxFile     = 800
	maxTestFile = 1200
	maxFunc     = 100
)

// emptyNames are package names that say nothing of what is inside.
var emptyNames = []string{"base", "common", "helper", "helpers", "misc", "shared", "util", "utils"}

// orderMark, with a reason behind it on the line, allows a pure package to range over a map.
const orderMark = "// order does not matter: "

// tagSets are the builds that the order of maps is looked at in.
var tagSets = []string{"", "invariants"}
