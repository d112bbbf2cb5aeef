package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"cancello/internal/pgtest/fake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// checks are those of a Cancello that is well.
func checks() Checks {
	return Checks{
		Alive:    func(context.Context) error { return nil },
		Draining: func() bool { return false },
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "metrics") }),
		Log:      slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func listen(t *testing.T, c Checks) *HTTP {
	t.Helper()
	h, err := Listen("127.0.0.1:0", nil, c)
	if err != nil {
		t.Fatal(err)
	}
	h.Serve()
	t.Cleanup(h.Close)
	return h
}

// get asks once, on a connection of its own.
func get(t *testing.T, h *HTTP, method, path string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	r, err := http.NewRequest(method, "http://"+h.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
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

func TestHTTP(t *testing.T) {
	well, draining, stuck, stopped := checks(), checks(), checks(), checks()
	draining.Draining = func() bool { return true }
	stuck.Alive = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	stopped.Alive = func(context.Context) error { return errors.New("it is stopping") }
	const lifeless = "no sign of life from the event loop within 1s\n"
	tests := []struct {
		name         string
		checks       Checks
		method, path string
		status       int
		body         string
	}{
		{"well", well, "GET", "/healthz", 200, "ok\n"},
		{"well", well, "GET", "/readyz", 200, "ok\n"},
		{"well", well, "GET", "/metrics", 200, "metrics"},
		{"well", well, "HEAD", "/readyz", 200, ""},
		{"well", well, "POST", "/readyz", 405, "Method Not Allowed\n"},
		{"well", well, "GET", "/", 404, "404 page not found\n"},
		{"draining", draining, "GET", "/healthz", 200, "ok\n"},
		{"draining", draining, "GET", "/readyz", 503, "draining: new clients are turned away\n"},
		{"stuck", stuck, "GET", "/healthz", 503, lifeless},
		{"stuck", stuck, "GET", "/readyz", 503, lifeless},
		{"stopped", stopped, "GET", "/healthz", 503, "it is stopping\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name+" "+tt.method+" "+tt.path, func(t *testing.T) {
			t.Parallel()
			if status, body := get(t, listen(t, tt.checks), tt.method, tt.path); status != tt.status || body != tt.body {
				t.Errorf("%d %q, want %d %q", status, body, tt.status, tt.body)
			}
		})
	}
}

func TestListenErrors(t *testing.T) {
	h := listen(t, checks())
	for addr, want := range map[string]string{
		h.Addr().String(): "the port is in use by another process; choose another with --http",
		"192.0.2.1:1":     "the address is not one of this machine",
	} {
		other, err := Listen(addr, nil, checks())
		if err == nil {
			other.Close()
			t.Fatalf("%s: it listens", addr)
		}
		if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %q, want %q", addr, err, want)
		}
	}
}

// Connections that say nothing hold their places and no more; those beyond wait until one is free.
func TestConnectionsAreBounded(t *testing.T) {
	h := listen(t, checks())
	silent := make([]net.Conn, maxConns)
	for i := range silent {
		c, err := net.Dial("tcp", h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		silent[i] = c
	}
	got := make(chan string, 1)
	go func() {
		_, body := get(t, h, "GET", "/healthz")
		got <- body
	}()
	select {
	case <-got:
		t.Fatal("one more than the limit was answered")
	case <-time.After(100 * time.Millisecond): // whether it would be answered later cannot be known
	}
	silent[0].Close()
	if body := fake.Next(t, got, "an answer when there is room"); body != "ok\n" {
		t.Errorf("answer %q", body)
	}
}

// Connections that take what is kept for cancels are closed; the next one that doesn't is answered.
func TestScarceDescriptors(t *testing.T) {
	asked := 0
	c := checks()
	c.Scarce = func(net.Conn) bool { asked++; return asked <= 2 }
	h, err := Listen("127.0.0.1:0", nil, c)
	if err != nil {
		t.Fatal(err)
	}
	h.Serve()
	defer h.Close()
	for range 2 {
		nc, err := net.DialTimeout("tcp", h.Addr().String(), fake.Patience)
		if err != nil {
			t.Fatal(err)
		}
		nc.SetDeadline(time.Now().Add(fake.Patience))
		if n, err := nc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("read %d bytes, %v", n, err)
		}
		nc.Close()
	}
	if _, body := get(t, h, "GET", "/healthz"); body != "ok\n" {
		t.Errorf("answer %q", body)
	}
}
