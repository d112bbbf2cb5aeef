package main

import (
	"fmt"
	"time"
)

// part is some trials on one stage.
type part struct {
	name, title string
	note        string // what a reader of its figures must know
	setup       setup
	tls         bool // between clients and proxies
	fresh       bool // each round wants proxies that were just started
	trials      []trial
	plots       []string // columns that are drawn
}

// plan is what is to be measured.
type plan struct {
	name   string // of the files
	pairs  int    // rounds in which each proxy is measured once in every trial
	direct int    // rounds in which the server alone is, too
	pace
	parts []part
	goals bool // the figures are held to the goals
}

const (
	second = time.Second
	gb     = 1_000_000_000
	mb     = 1_000_000
	kb     = 1_000
)

// common is what most parts ask of the proxies.
func common(clients int) setup { return setup{pool: poolSize, clients: clients, sslmode: "disable"} }

const preparedNote = "Pools have a server for each client here. PgBouncer before 1.21 shares no named statements, and is in session mode: so is Cancello beside it, then, " +
	"and \"" + sharing + "\" is a second one, which gives its servers, and with them the statements, to another client after each query."

// partQueries and its like are the parts that the plans are made of.
func partQueries(s *script, clients ...int) part {
	p := part{name: s.name, title: s.name + " queries", setup: common(mostOf(clients) + 50), plots: []string{"cpu", "rate", "p99"}}
	for _, n := range clients {
		p.trials = append(p.trials, clientsAsk(s, n))
	}
	if s == prepared {
		p.setup.pool, p.setup.prepared, p.note = mostOf(clients), true, preparedNote
	}
	return p
}

func partTLS(clients ...int) part {
	p := partQueries(simple, clients...)
	p.name, p.title, p.tls = "tls", "simple queries over TLS", true
	for i := range p.trials {
		p.trials[i].direct = false // the server alone would need its own certificate
	}
	return p
}

// partMany holds few clients against many: its ratio is of the proxy to itself.
func partMany(clients int) part {
	return part{
		name: "crowd", title: "many clients on a pool of 20", setup: common(clients + 50),
		trials: []trial{clientsAsk(simple, 50), clientsAsk(simple, clients)}, plots: []string{"rate", "cpu"},
	}
}

func partFlow(sizes, copies []int) part {
	p := part{name: "flow", title: "large results and COPY", setup: common(50), plots: []string{"mb", "peak"}}
	for _, n := range sizes {
		p.trials = append(p.trials, resultOf(n))
	}
	for _, n := range copies {
		p.trials = append(p.trials, copyOut(n), copyIn(n))
	}
	return p
}

func partLogins(password string) part {
	p := part{name: "logins-trust", title: "connect, one query, disconnect", setup: common(100), trials: []trial{logins("logins, trust")}, plots: []string{"logins"}}
	if password != "" {
		p.name, p.title, p.setup.password = "logins-scram", "the same, with SCRAM-SHA-256", password
		p.trials = []trial{logins("logins, SCRAM")}
	}
	return p
}

func partIdle(tls bool, after time.Duration, clients ...int) part {
	p := part{name: "idle", title: "memory of a client that does nothing", tls: tls, fresh: true, setup: common(mostOf(clients) + 100), plots: []string{"settled"}}
	if tls {
		p.name, p.title = "idle-tls", "the same, with TLS"
	}
	p.note = "Resident memory of the proxy, after it, less before it, for each client; each has asked once. \"Later\" is " + after.String() + " later."
	for _, n := range clients {
		p.trials = append(p.trials, idlers(n, after))
	}
	return p
}

func partDatabases(databases, pool, clients int) part {
	s := common(clients + 50)
	s.pool, s.databases = pool, databases
	p := part{name: "databases-" + itoa(databases), title: itoa(databases) + " databases, " + itoa(pool) + " servers each", setup: s, trials: []trial{clientsAsk(simple, clients)}, plots: []string{"cpu"}}
	p.trials[0].direct = false // it doesn't have them
	return p
}

// benchPlan is what the goals are about: under 25 minutes.
func benchPlan() plan {
	return plan{
		name: "bench", pairs: 7, direct: 3, pace: pace{1700 * time.Millisecond, 300 * time.Millisecond}, goals: true,
		parts: []part{
			partQueries(simple, 1, 10, 50, 200), partQueries(prepared, 10, 50, 200), partTLS(10, 50, 200), partMany(2000),
			partLogins(""), partLogins(benchPassword), partFlow([]int{gb}, []int{gb}), partIdle(false, 10*second, 5000), partIdle(true, 10*second, 2000),
		},
	}
}

// fullPlan is all the rest, beside whoever is found.
func fullPlan() plan {
	p := plan{
		name: "full", pairs: 3, direct: 3, pace: pace{1700 * time.Millisecond, 300 * time.Millisecond},
		parts: []part{
			partQueries(simple, 1, 10, 50, 200), partQueries(extended, 1, 10, 50, 200), partQueries(prepared, 1, 10, 50, 200), partTLS(1, 10, 50, 200), partMany(2000),
			partLogins(""), partLogins(benchPassword), partFlow([]int{kb, 64 * kb, mb, 64 * mb, gb}, []int{64 * mb, gb}),
			partIdle(false, 15*second, 1000, 5000, 15000), partIdle(true, 15*second, 1000, 5000, 15000),
			partDatabases(1, 20, 200), partDatabases(20, 5, 200), partDatabases(200, 1, 200),
		},
	}
	for i := range p.parts {
		p.parts[i].setup.others = true
	}
	return p
}

// quickPlan is each kind of thing once, for a first look, and to see that all of them work.
func quickPlan() plan {
	p := plan{
		name: "quick", pairs: 1, direct: 1, pace: pace{400 * time.Millisecond, 100 * time.Millisecond},
		parts: []part{
			partQueries(simple, 1, 10, 50), partQueries(extended, 10), partQueries(prepared, 10), partTLS(10), partMany(200),
			partLogins(""), partLogins(benchPassword), partFlow([]int{mb, 64 * mb}, []int{64 * mb}),
			partIdle(false, second, 500), partIdle(true, second, 200), partDatabases(20, 2, 40),
		},
	}
	for i := range p.parts {
		p.parts[i].setup.others = true
	}
	return p
}

// goal is a bound on what was measured.
type goal struct {
	of          string // the target; empty: cancello
	part, trial string
	column      string
	to          string // what the figure is divided by: another target's, or empty: nothing
	most, least float64
}

// goals are what Cancello is to reach, each as the median of the pairs' ratios to PgBouncer, or as a figure of its own.
func goals() []goal {
	var all []goal
	add := func(g goal) {
		if g.of == "" {
			g.of = "cancello"
		}
		all = append(all, g)
	}
	for _, g := range []goal{{of: "cancello", part: "simple"}, {of: "cancello", part: "prepared"}, {of: sharing, part: "prepared"}} {
		g.column, g.to = "cpu", "pgbouncer"
		for _, n := range []int{10, 50, 200} {
			g.trial, g.most = fmt.Sprintf("%s, %d clients", g.part, n), 0.95
			if n == 10 {
				g.most = 1.1
			}
			add(g)
		}
	}
	for _, n := range []string{"10", "50", "200"} {
		add(goal{part: "tls", trial: "simple, " + n + " clients", column: "cpu", to: "pgbouncer", most: 1.0})
	}
	add(goal{part: "simple", trial: "simple, 50 clients", column: "rate", to: "pgbouncer", least: 1.0})
	add(goal{part: "simple", trial: "simple, 1 client", column: "p50", to: "pgbouncer", most: 1.05})
	add(goal{part: "simple", trial: "simple, 50 clients", column: "p99", to: "pgbouncer", most: 1.05})
	add(goal{part: "logins-trust", trial: "logins, trust", column: "logins", to: "pgbouncer", least: 1.0})
	add(goal{part: "logins-scram", trial: "logins, SCRAM", column: "logins", to: "pgbouncer", least: 1.0})
	for _, t := range []string{"result of 1 GB", "COPY out of 1 GB", "COPY in of 1 GB"} {
		add(goal{part: "flow", trial: t, column: "mb", to: "pgbouncer", least: 1.0})
		add(goal{part: "flow", trial: t, column: "peak", most: 64})
	}
	add(goal{part: "crowd", trial: "simple, 2000 clients", column: "rate", to: "simple, 50 clients", least: 0.9})
	add(goal{part: "idle", trial: "5000 idle clients", column: "settled", most: 1.0})
	add(goal{part: "idle-tls", trial: "2000 idle clients", column: "settled", most: 10})
	return all
}

func mostOf(numbers []int) int {
	most := 0
	for _, n := range numbers {
		most = max(most, n)
	}
	return most
}
