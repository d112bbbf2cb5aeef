package obs

import (
	"runtime"
	"strconv"
	"time"
	"unicode/utf8"

	"cancello/internal/event"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Asker takes a snapshot of the engine; false says that none can be had.
type Asker func() (event.Snapshot, bool)

// Registry is all metrics of a Cancello: what the Sink counts, what ask tells of the engine, and what the runtime
// and the system say of the process.
func (s *Sink) Registry(version string, ask Asker) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cancello_build_info", Help: "The version that runs; its value is always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&countCollector{sink: s}, engineCollector{ask})
	return r
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("cancello_"+name, help, labels, nil)
}

func counter(d *prometheus.Desc, n uint64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge(d *prometheus.Desc, n float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, n, labels...)
}

// histogram puts the buckets, which are disjoint here, on top of one another, as Prometheus has them.
func histogram(d *prometheus.Desc, h event.Histogram, labels ...string) prometheus.Metric {
	buckets := map[float64]uint64{}
	var n uint64
	for i, end := range event.Buckets() {
		n += h.Counts[i]
		buckets[end.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(d, h.Count(), h.Sum.Seconds(), buckets, labels...)
}

// What events are counted as.
var (
	cancels        = desc("cancels_total", "CancelRequests, and cancels of Cancello's own, by outcome.", "outcome")
	cancelDuration = desc("cancel_duration_seconds", "From the CancelRequest to its outcome, by outcome.", "outcome")
	loginsRefused  = desc("logins_refused_total", "Clients that were not let in, by reason.", "reason")
	clientsLeft    = desc("clients_left_total", "Clients that are gone.")
	serversOpened  = desc("servers_opened_total", "Server connections that were opened.")
	serversClosed  = desc("servers_closed_total", "Server connections that are gone.")
	dialsFailed    = desc("server_connection_failures_total", "Server connections that could not be opened.")
	linesDropped   = desc("log_lines_dropped_total", "Log lines that were dropped because the log's destination is too slow.")
)

// countCollector tells what the Sink has counted.
type countCollector struct{ sink *Sink }

// Describe is for prometheus.Collector.
func (c *countCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{cancels, cancelDuration, loginsRefused, clientsLeft, serversOpened, serversClosed, dialsFailed, linesDropped} {
		ch <- d
	}
}

// Collect is for prometheus.Collector.
func (c *countCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.sink
	s.counts.Lock()
	took := s.took
	s.counts.Unlock()
	for i, h := range took { // under one lock, so that the two never differ
		name := event.Outcome(i).String()
		ch <- counter(cancels, h.Count(), name)
		ch <- histogram(cancelDuration, h, name)
	}
	for i := range s.refused {
		ch <- counter(loginsRefused, s.refused[i].Load(), event.Refusal(i).String())
	}
	ch <- counter(clientsLeft, s.left.Load())
	ch <- counter(serversOpened, s.opened.Load())
	ch <- counter(serversClosed, s.closures.Load())
	ch <- counter(dialsFailed, s.dialsFailed.Load())
	ch <- counter(linesDropped, s.droppedEver.Load())
}

// What a snapshot is shown as.
var (
	draining     = desc("draining", "1 while new clients are turned away, else 0.")
	predecessors = desc("predecessor_clients", "Clients that processes still have which were taken over from; missing without one.", "process")
	clients      = desc("clients", "Clients by pool and state.", "database", "user", "state")
	servers      = desc("servers", "Server connections by pool and state; ghosts are closed and perhaps still run.", "database", "user", "state")
	poolSize     = desc("pool_size", "Most server connections that the pool may have.", "database", "user")
	poolPaused   = desc("pool_paused", "1 while the pool gives no server away, else 0.", "database", "user")
	oldestWait   = desc("oldest_wait_seconds", "How long the client that has waited longest has waited.", "database", "user")
	poolCancels  = desc("cancels_under_way", "Cancels by pool: going are on the wire, waiting are not yet.", "database", "user", "state")
	logins       = desc("client_logins_total", "Clients let in, by configured database.", "database")
	received     = desc("client_received_bytes_total", "Bytes received from clients, by configured database.", "database")
	sent         = desc("client_sent_bytes_total", "Bytes sent to clients, by configured database.", "database")
	waitDuration = desc("wait_duration_seconds", "How long a client waited for its server, 0 where it got one at once.", "database")
	queries      = desc("query_duration_seconds", "How long a server worked on a query or a batch.", "database")
	transactions = desc("transaction_duration_seconds", "From the first query of a transaction to the end of its last.", "database")
)

// engineCollector tells what the engine is like when it is asked.
type engineCollector struct{ ask Asker }

// Describe is for prometheus.Collector.
func (engineCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		draining, predecessors, clients, servers, poolSize, poolPaused, oldestWait, poolCancels, logins, received, sent, waitDuration, queries, transactions,
	} {
		ch <- d
	}
	for _, d := range append(upstreamDescs(), peerDescs()...) {
		ch <- d
	}
}

// Collect is for prometheus.Collector. Where the engine does not answer, its metrics are missing from the scrape.
func (c engineCollector) Collect(ch chan<- prometheus.Metric) {
	s, ok := c.ask()
	if !ok {
		return
	}
	ch <- gauge(draining, yes(s.Draining))
	for _, p := range s.Predecessors {
		ch <- gauge(predecessors, float64(p.Clients), strconv.Itoa(p.Process))
	}
	seen := map[[2]string]bool{}
	for _, p := range s.Pools {
		p.Database, p.User = label(p.Database), label(p.User)
		if key := [2]string{p.Database, p.User}; !seen[key] { // the same twice would spoil the whole scrape
			seen[key] = true
			collectPool(ch, p)
		}
	}
	for _, u := range s.Upstreams {
		collectUpstream(ch, u)
	}
	for _, p := range s.Peers {
		collectPeer(ch, p)
	}
	for _, t := range s.Tallies {
		ch <- counter(logins, t.Logins, t.Entry)
		ch <- counter(received, t.Received, t.Entry)
		ch <- counter(sent, t.Sent, t.Entry)
		ch <- histogram(waitDuration, t.Wait, t.Entry)
		ch <- histogram(queries, t.Query, t.Entry)
		ch <- histogram(transactions, t.Transaction, t.Entry)
	}
}

// label is a name as a label: clients choose names, also such that are no UTF-8, which Prometheus wants.
func label(name string) string {
	if utf8.ValidString(name) {
		return name
	}
	return strconv.QuoteToASCII(name)
}

func collectPool(ch chan<- prometheus.Metric, p event.PoolState) {
	state := func(d *prometheus.Desc, state string, n int) { ch <- gauge(d, float64(n), p.Database, p.User, state) }
	state(clients, "active", p.ClientsActive)
	state(clients, "idle", p.ClientsIdle)
	state(clients, "waiting", p.ClientsWaiting)
	state(servers, "active", p.ServersActive)
	state(servers, "idle", p.ServersIdle)
	state(servers, "cleaning", p.ServersCleaning)
	state(servers, "dialing", p.ServersDialing)
	state(servers, "ghost", p.ServersGhost)
	state(poolCancels, "going", p.CancelsGoing)
	state(poolCancels, "waiting", p.CancelsWaiting)
	ch <- gauge(poolSize, float64(p.Limit), p.Database, p.User)
	ch <- gauge(poolPaused, yes(p.Paused), p.Database, p.User)
	ch <- gauge(oldestWait, p.OldestWait.Seconds(), p.Database, p.User)
}

func yes(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// count adds one event to what Collect tells.
func (s *Sink) count(e event.Event) {
	switch e := e.(type) {
	case event.CancelSettled:
		s.counts.Lock()
		s.took[e.Outcome].Observe(max(e.Took, time.Duration(0)))
		s.counts.Unlock()
	case event.LoginRefused:
		s.refused[e.Why()].Add(1)
	case event.ClientLeft:
		s.left.Add(1)
	case event.ServerOpened:
		s.opened.Add(1)
	case event.ServerClosed:
		s.closures.Add(1)
	case event.DialFailed:
		s.dialsFailed.Add(1)
	}
}
