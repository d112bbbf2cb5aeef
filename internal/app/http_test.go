package app

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"cancello/internal/event"
	"cancello/internal/pgtest/fake"
)

// fetch asks a over HTTP.
func fetch(t *testing.T, a *App, path string) (status int, body string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: fake.Patience}
	res, err := c.Get("http://" + a.HTTPAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// wantMetric fails unless the metrics have the line.
func wantMetric(t *testing.T, metrics, line string) {
	t.Helper()
	if !strings.Contains("\n"+metrics, "\n"+line+"\n") {
		name, _, _ := strings.Cut(line, "{")
		var have []string
		for l := range strings.SplitSeq(metrics, "\n") {
			if strings.HasPrefix(l, name) {
				have = append(have, l)
			}
		}
		t.Errorf("no line %q; there are\n%s", line, strings.Join(have, "\n"))
	}
}

func TestHealthAndMetrics(t *testing.T) {
	s := fake.NewServer(t, fake.Config{})
	o := options(t, s)
	o.Config.HTTP, o.Version = "0", "9.9"
	o.Config.Pool.DefaultSize = 1
	out := &outcomes{make(chan event.Outcome, 10)}
	o.Watch = out.watch
	a := started(t, o)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body := fetch(t, a, path); status != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	one, two := fake.Dial(t, a.Addrs()[0].String()), fake.Dial(t, a.Addrs()[0].String())
	one.Login(fake.V30, "user", "ann", "database", "db")
	g := two.Login(fake.V30, "user", "ann", "database", "db")
	one.Put(fake.Query("SELECT 1"))
	one.Want("CZ")
	one.Put(fake.Query("sleep"))
	s.Await(t, "it runs", func() bool { return len(s.Sessions()) == 1 && s.Sessions()[0].Running() })
	two.Put(fake.Query("SELECT 2"))
	awaitSnapshot(t, a, "one waits", func(s event.Snapshot) bool { return s.Pools[0].ClientsWaiting == 1 })

	_, metrics := fetch(t, a, "/metrics")
	wantMetric(t, metrics, `cancello_clients{database="db",state="waiting",user="ann"} 1`)
	wantMetric(t, metrics, `cancello_clients{database="db",state="active",user="ann"} 1`)
	wantMetric(t, metrics, `cancello_servers{database="db",state="active",user="ann"} 1`)
	wantMetric(t, metrics, `cancello_query_duration_seconds_count{database="db"} 1`)
	wantMetric(t, metrics, `cancello_wait_duration_seconds_count{database="db"} 2`)
	wantMetric(t, metrics, `cancello_client_logins_total{database="db"} 2`)
	if !strings.Contains(metrics, `version="9.9"} 1`) || !strings.Contains(metrics, "\ngo_goroutines ") || !strings.Contains(metrics, "\nprocess_open_fds ") {
		t.Error("the build, the runtime or the process is missing")
	}

	fake.SendCancel(t, a.Addrs()[0].String(), g.PID, g.Key)
	two.WantError("57014")
	out.want(t, event.Unqueued)
	_, metrics = fetch(t, a, "/metrics")
	wantMetric(t, metrics, `cancello_cancels_total{outcome="unqueued"} 1`)
	wantMetric(t, metrics, `cancello_cancels_total{outcome="cancelled"} 0`)
	wantMetric(t, metrics, `cancello_cancel_duration_seconds_count{outcome="unqueued"} 1`)

	a.Drain()
	if status, body := fetch(t, a, "/readyz"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, "draining") {
		t.Errorf("/readyz in a drain: %d %q", status, body)
	}
	if status, _ := fetch(t, a, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz in a drain: %d", status)
	}
}

// awaitSnapshot asks until the condition holds.
func awaitSnapshot(t *testing.T, a *App, what string, ok func(event.Snapshot) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fake.Patience)
	defer cancel()
	for {
		s, err := a.Snapshot(ctx)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if ok(s) {
			return
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("not so: %s; %+v", what, s)
		}
	}
}
