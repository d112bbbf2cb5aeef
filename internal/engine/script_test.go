package engine

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/config"
	"cancello/internal/pgtest/shorthand"
	"cancello/internal/wire"
)

// TestScripts runs testdata. The commands:
//
//	new [session | statement] [size=N] [clients=N] [SETTING=VALUE]   an empty engine in transaction mode; limits has more settings
//	setup clients=N [SETTING ...]     new, then c1 to cN log in and all servers that are dialed for them are there
//	login cN [user=U] [database=D] [v32] [keys=K]   a client has authenticated, where it connected with client_keys K; startup parameters are lines of the input
//	resolved HOST ADDR ...            a name has these addresses now
//	dialed sN [keyless] [known] [extras] [addr=A]   a server is there; what it reports besides is the input
//	dial-failed sN [code=C | unable]  the input is the message
//	client cN [bytes=N], server sN [bytes=N] [more]   bytes arrive; what is cut off comes first the next time
//	closed cN | sN                    the peer has gone
//	cancel tN cN [read=D] [by=D] [wrong]     a CancelRequest for a client, read so long ago: by another process, not before
//	    read and not after by
//	ready oN, done oN delivered | broken | not-sent | refused | shared   how carrying an order goes
//	slow cN | sN, sent cN | sN [N]    what is queued stays queued, until it is said to be sent
//	reload [as new has them] [host=H,...] [ports=N,...] [in-order] [forced=U] [db-size=N] [db-mode=M] [db-query-wait=D] [db-idle=D] [user-size=N] [fallback=WAY,...] [settle=D]
//	    [user-mode=M] [user-query-wait=D] [without] [star]     new settings; without: db is not configured, star: "*" is
//	pass cN [keyless] [without-key] [unreachable]     a passage: cN and sN, which gave no key that can be used (the input
//	    says why, where it gave one); cN gets none
//	told D [cN]                       the driver's clock was so old in the events before, when clients were told of them, or this one
//	tick D, drain, grant N, state
//	pause | resume | reconnect | kill [D], kill-client cN, cancel-client cN
//	snapshot, clients, servers, upstreams        what the console and the metrics are told
//
// What the engine does is listed in order: what it sends to c1 as c1 <- ..., all else by its name. Everything sent is
// reported as such at once unless the connection is slow, and a connection that the engine closes is closed.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := newWorld(settings(t, nil))
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			if td.Cmd == "new" || td.Cmd == "setup" {
				w = newWorld(settings(t, td))
			}
			return w.run(t, td)
		})
	})
}

func settings(t *testing.T, td *datadriven.TestData) config.Config {
	cfg := config.Default()
	cfg.Databases = []config.Database{{Name: "db", Host: "pg", Port: 5432}}
	cfg.Pool.Mode, cfg.Pool.DefaultSize, cfg.Pool.MaxClientConn, cfg.Pool.Check.Query = config.Transaction, 2, 10, ""
	cfg.Timeouts.WaitNotify = 0
	if td == nil {
		return cfg
	}
	if td.HasArg("session") {
		cfg.Pool.Mode = config.Session
	}
	if td.HasArg("loss-waits") {
		cfg.Cancel.OnLoss = config.LossWaits
	}
	if td.HasArg("loss-closes") {
		cfg.Cancel.OnLoss = config.LossCloses
	}
	if td.HasArg("statement") {
		cfg.Pool.Mode = config.Statement
	}
	for name, d := range map[string]*time.Duration{
		"query-wait": &cfg.Timeouts.QueryWait, "connect": &cfg.Timeouts.ServerConnect, "idle": &cfg.Timeouts.ServerIdle,
		"ghost": &cfg.Timeouts.ServerGhost, "cancel": &cfg.Cancel.Timeout, "side-idle": &cfg.Cancel.SideIdle, "resend": &cfg.Cancel.Resend,
		"notify": &cfg.Timeouts.WaitNotify, "client-idle": &cfg.Limits.ClientIdle, "idle-tx": &cfg.Limits.IdleTransaction,
		"loss": &cfg.Cancel.ClientLoss, "shutdown": &cfg.Timeouts.Shutdown, "query": &cfg.Limits.Query, "tx": &cfg.Limits.Transaction,
	} {
		var s string
		if td.MaybeScanArgs(t, name, &s); s != "" {
			*d = duration(t, s)
		}
	}
	entries(t, td, &cfg)
	limits(t, td, &cfg)
	td.MaybeScanArgs(t, "size", &cfg.Pool.DefaultSize)
	var ignore string
	if td.MaybeScanArgs(t, "ignore", &ignore); ignore != "" {
		cfg.Pool.IgnoreStartupParameters = []string{ignore}
	}
	td.MaybeScanArgs(t, "max-clients", &cfg.Pool.MaxClientConn)
	td.MaybeScanArgs(t, "per-upstream", &cfg.Cancel.PerUpstream)
	td.MaybeScanArgs(t, "side-size", &cfg.Cancel.SideSize)
	var keys string
	td.MaybeScanArgs(t, "keys", &keys)
	cfg.Cancel.Keys = keyPolicies[keys]
	return cfg
}

// entries are what the database db and the user u have of their own.
func entries(t *testing.T, td *datadriven.TestData, cfg *config.Config) {
	d, u := &cfg.Databases[0], config.User{Name: "u"}
	td.MaybeScanArgs(t, "host", &d.Host)
	td.MaybeScanArgs(t, "ports", &d.Ports)
	if td.HasArg("in-order") {
		d.Balance = config.Give(config.InOrder)
	}
	td.MaybeScanArgs(t, "forced", &d.User)
	td.MaybeScanArgs(t, "fallback", &d.Cancel.Fallback)
	for name, size := range map[string]*config.Override[int]{"db-size": &d.PoolSize, "user-size": &u.PoolSize} {
		if size.Given = td.HasArg(name); size.Given {
			td.ScanArgs(t, name, &size.Value)
		}
	}
	for name, mode := range map[string]*config.Override[config.Mode]{"db-mode": &d.Mode, "user-mode": &u.Mode} {
		if mode.Given = td.HasArg(name); mode.Given {
			var word string
			td.ScanArgs(t, name, &word)
			mode.Value = map[string]config.Mode{"session": config.Session, "transaction": config.Transaction, "statement": config.Statement, "passthrough": config.Passthrough}[word]
		}
	}
	for name, wait := range map[string]*config.Override[time.Duration]{"db-query-wait": &d.QueryWait, "user-query-wait": &u.QueryWait, "db-idle": &d.ServerIdle, "settle": &d.Cancel.Settle} {
		if wait.Given = td.HasArg(name); wait.Given {
			var s string
			td.ScanArgs(t, name, &s)
			wait.Value = duration(t, s)
		}
	}
	d.Keys = keysOf(t, td, "db-keys")
	cfg.Users = []config.User{u}
	if td.HasArg("without") {
		d.Name = "another"
	}
	if td.HasArg("star") {
		d.Name = "*"
	}
}

var keyPolicies = map[string]config.KeyPolicy{"": config.KeysAlways, "always": config.KeysAlways, "3.2": config.KeysSince32, "never": config.KeysNever}

// keysOf is client_keys as an argument, of a database or of where a client connected to.
func keysOf(t *testing.T, td *datadriven.TestData, name string) (keys config.Override[config.KeyPolicy]) {
	var word string
	if td.MaybeScanArgs(t, name, &word); word != "" {
		keys = config.Give(keyPolicies[word])
	}
	return keys
}

func duration(t *testing.T, s string) time.Duration {
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// first is the first argument, such as c1, and its number.
func first(t *testing.T, td *datadriven.TestData) (name string, n int) {
	if len(td.CmdArgs) == 0 {
		t.Fatalf("%s: of whom?", td.Pos)
	}
	name = td.CmdArgs[0].Key
	n, err := strconv.Atoi(strings.TrimLeft(name, "cstog"))
	if err != nil {
		t.Fatalf("%s: %v", td.Pos, err)
	}
	return name, n
}

func (w *world) run(t *testing.T, td *datadriven.TestData) string {
	w.log = nil
	w.tick(time.Millisecond) // no two commands at the same moment
	switch td.Cmd {
	case "new":
		return "ok\n"
	case "setup":
		var n int
		td.ScanArgs(t, "clients", &n)
		w.setup(n)
		return "ok\n"
	case "tick":
		w.tick(duration(t, td.CmdArgs[0].Key))
	case "told":
		var c Conn
		if len(td.CmdArgs) > 1 {
			c = w.byName[td.CmdArgs[1].Key]
		}
		w.e.Told(w.now+duration(t, td.CmdArgs[0].Key), c)
	case "drain":
		w.e.Drain(w.now)
	case "reload":
		w.e.Reconfigure(w.now, settings(t, td))
	case "state":
		return w.state() + "\n"
	case "snapshot":
		return w.snapshot()
	case "clients", "servers":
		return w.list(td.Cmd)
	case "pause", "resume", "reconnect", "kill", "kill-client", "cancel-client", "disable", "enable":
		w.command(td)
	case "upstreams":
		return w.upstreams()
	case "resolved":
		w.resolved(td)
	case "grant":
		n, _ := strconv.Atoi(td.CmdArgs[0].Key)
		w.e.SetGrant(w.now, PoolID{Database: "db", User: "u"}, n)
	case "login":
		w.login(t, td)
	case "pass":
		w.pass(t, td)
	case "dialed", "dial-failed":
		w.answerDial(t, td)
	case "client", "server":
		w.bytes(t, td)
	case "cancel", "ready", "done":
		w.cancel(t, td)
	case "closed", "slow", "sent":
		w.conn(t, td)
	default:
		t.Fatalf("%s: no command %q", td.Pos, td.Cmd)
	}
	w.settle()
	w.flush()
	if len(w.log) == 0 {
		return "-\n"
	}
	return strings.Join(w.log, "\n") + "\n"
}

func (w *world) login(t *testing.T, td *datadriven.TestData) {
	_, n := first(t, td)
	r := w.request(n)
	td.MaybeScanArgs(t, "user", &r.User)
	td.MaybeScanArgs(t, "database", &r.Database)
	r.Keys = keysOf(t, td, "keys")
	r.Params = params(td.Input)
	if td.HasArg("v32") {
		r.Version = wire.V32
	}
	w.e.LoginAsked(w.now, Login(n), r)
}

func (w *world) resolved(td *datadriven.TestData) {
	var addrs []string
	for _, a := range td.CmdArgs[1:] {
		addrs = append(addrs, a.Key)
	}
	w.e.Resolved(w.now, td.CmdArgs[0].Key, addrs)
}

// pass lets a client and a server of its own in, as from Passage on.
func (w *world) pass(t *testing.T, td *datadriven.TestData) {
	_, n := first(t, td)
	r := w.request(n)
	at, refusal := w.e.Passage(w.now, r)
	if refusal.Code != "" {
		w.say("refuse c%d: %s %s", n, refusal.Code, refusal.Message)
		return
	}
	w.say("to %s at %s:%d as %s", at.Database, at.Host, at.Port, at.User)
	if td.HasArg("unreachable") {
		w.e.PassageFailed(w.now, r, at, Failure{Message: td.Input})
		return
	}
	s := MakeConn(uint32(100+n), 1)
	w.name(fmt.Sprintf("s%d", n), s, shorthand.Client)
	info := ServerInfo{PID: uint32(1000 + n), HasKey: !td.HasArg("keyless"), Dummy: td.Input}
	w.e.Passed(w.now, Login(n), r, at, s, info, !td.HasArg("without-key"))
}

func params(input string) []wire.Param {
	var list []wire.Param
	for _, line := range strings.Split(input, "\n") {
		if name, value, ok := strings.Cut(line, " = "); ok {
			list = append(list, wire.Param{Name: name, Value: value})
		}
	}
	return list
}

func (w *world) answerDial(t *testing.T, td *datadriven.TestData) {
	_, n := first(t, td)
	if s := w.e.servers[Server(n)]; s == nil || s.conn != 0 {
		w.say("s%d is not dialed for", n)
		return
	}
	if td.Cmd == "dialed" {
		td.MaybeScanArgs(t, "addr", &w.at)
		w.dialedAs(n, !td.HasArg("keyless"), td.HasArg("extras"), td.HasArg("known"), params(td.Input))
		return
	}
	f := Failure{Message: td.Input, Unable: td.HasArg("unable")}
	if td.HasArg("code") {
		f.Refused = true
		td.ScanArgs(t, "code", &f.Code)
	}
	w.e.DialFailed(w.now, Server(n), f)
}

func (w *world) bytes(t *testing.T, td *datadriven.TestData) {
	name, _ := first(t, td)
	c := w.byName[name]
	if c == 0 {
		w.say("there is no %s", name)
		return
	}
	b, err := shorthand.Read(shorthand.Side(td.Cmd == "client"), td.Input)
	if err != nil {
		t.Fatalf("%s: %v", td.Pos, err)
	}
	w.cut[c] = append(w.cut[c], b...)
	n := len(w.cut[c])
	td.MaybeScanArgs(t, "bytes", &n)
	b = append([]byte(nil), w.cut[c][:n]...)
	w.cut[c] = w.cut[c][n:]
	for {
		n := len(b)
		if w.next != nil && n > 0 && (td.Cmd == "server" || !w.cutServers) {
			n = w.next(n)
		}
		piece := append([]byte(nil), b[:n]...)
		b = b[n:]
		w.e.Data(w.now, c, Buf{Bytes: piece, More: td.HasArg("more") && len(b) == 0})
		for i := range piece { // it was lent
			piece[i] = 0xdd
		}
		if len(b) == 0 {
			return
		}
	}
}

func (w *world) cancel(t *testing.T, td *datadriven.TestData) {
	_, n := first(t, td)
	if state := w.orders[Order(n)]; td.Cmd == "ready" && state != 'c' || td.Cmd == "done" && state != 'c' && state != 'g' {
		w.say("there is no such order under way")
		return
	}
	switch td.Cmd {
	case "ready":
		w.e.CancelReady(w.now, Order(n))
	case "done":
		delete(w.orders, Order(n))
		w.e.CancelDone(w.now, Order(n), map[string]Result{"delivered": Delivered, "broken": Broken, "not-sent": NotSent, "refused": Refused, "shared": KeyShared}[td.CmdArgs[1].Key])
	case "cancel":
		k := w.keys[td.CmdArgs[1].Key]
		r := CancelRequest{PID: k.pid, Key: append([]byte(nil), k.key...), ReadAt: w.now}
		var ago string
		if td.MaybeScanArgs(t, "read", &ago); ago != "" {
			r.ReadAt -= duration(t, ago)
		}
		if ago = ""; td.HasArg("by") {
			td.ScanArgs(t, "by", &ago)
			r.ReadBy = w.now - duration(t, ago)
		}
		if td.HasArg("wrong") {
			r.Key[0] ^= 1
		}
		if r.ReadBy != 0 && w.e.Unknown(r.PID, r.Key) {
			w.say("%s is another process's", td.CmdArgs[0].Key)
			return
		}
		if c, ok := w.e.CancelTarget(r.PID, r.Key); ok {
			w.say("read %s once more first", w.names[c])
		}
		w.e.CancelRequested(w.now, Ticket(n), r)
	}
}

func (w *world) conn(t *testing.T, td *datadriven.TestData) {
	name, _ := first(t, td)
	c := w.byName[name]
	switch td.Cmd {
	case "closed":
		delete(w.byName, name)
		err := io.EOF
		if td.HasArg("reset") {
			err = errors.New("connection reset by peer")
		}
		w.e.Closed(w.now, c, err)
	case "slow":
		w.slow[c] = true
	case "sent":
		n := w.queued[c]
		if len(td.CmdArgs) > 1 {
			n, _ = strconv.Atoi(td.CmdArgs[1].Key)
		}
		w.queued[c] -= n
		w.e.Sent(w.now, c, n)
	}
}

// state is what the pool of u at db is like.
func (w *world) state() string {
	line := fmt.Sprintf("clients %d, of whom something is left to do %d", w.e.clients, w.e.present)
	if p := w.e.pools[poolName{database: "db", user: "u"}]; p != nil {
		line += fmt.Sprintf("; servers: live %d, idle %d, dialing %d, ghosts %d; in line %d", p.Live, p.Idle(), p.Dialing, p.Ghosts, p.Line.Len())
	}
	return line
}
