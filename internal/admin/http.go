package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// The bounds of an HTTP connection.
const (
	maxConns    = 64
	maxHeader   = 16 << 10
	requestTime = 10 * time.Second // to read a request
	answerTime  = 30 * time.Second // to write an answer
	idleTime    = 2 * time.Minute  // between two requests
	aliveTime   = time.Second      // for the loop's sign of life
)

// Checks are what the probes ask.
type Checks struct {
	// Alive waits for a sign of life of the loop.
	Alive func(context.Context) error
	// Draining tells whether new clients are turned away.
	Draining func() bool
	// Metrics answers /metrics.
	Metrics http.Handler
	// Scarce tells whether a connection has a descriptor that may be needed for cancels: it is closed. Nil: none has.
	Scarce func(net.Conn) bool
	Log    *slog.Logger
}

// HTTP is a listener for /healthz, /readyz and /metrics. Create it with Listen, then Serve; end it with Close.
type HTTP struct {
	raw, ln net.Listener // ln is raw with bounds
	log     *slog.Logger
	server  *http.Server
	serving sync.WaitGroup
}

// Listen listens on addr, as HOST:PORT, or by ln if that is not nil, and answers nothing before Serve. Whoever can reach
// it needs no password. The error says what to do.
func Listen(addr string, ln net.Listener, c Checks) (*HTTP, error) {
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", addr); err != nil {
			return nil, listenError(addr, err)
		}
	}
	h := &HTTP{raw: ln, ln: limit(sparing{ln, c.Scarce}, maxConns), log: c.Log}
	h.server = &http.Server{
		Handler: handler(c), ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelWarn),
	}
	return h, nil
}

// Serve begins to answer. It is called once.
func (h *HTTP) Serve() {
	h.serving.Go(func() {
		if err := h.server.Serve(h.ln); !errors.Is(err, http.ErrServerClosed) {
			h.log.Error("http: no longer served", "error", err.Error())
		}
	})
}

// Listener is what it listens by.
func (h *HTTP) Listener() net.Listener { return h.raw }

// Yield listens no more, and answers what was asked already; it returns when that has been done.
func (h *HTTP) Yield() {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	_ = h.server.Shutdown(ctx) // what takes longer is closed with the rest
}

// Addr is the address listened on, with the real port where it was 0.
func (h *HTTP) Addr() net.Addr { return h.ln.Addr() }

// Close ends it at once.
func (h *HTTP) Close() {
	h.server.Close()
	h.ln.Close() // it may never have served
	h.serving.Wait()
}

func handler(c Checks) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		reply(w, alive(r.Context(), c))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if c.Draining() {
			reply(w, errors.New("draining: new clients are turned away"))
			return
		}
		reply(w, alive(r.Context(), c))
	})
	mux.Handle("GET /metrics", c.Metrics)
	return mux
}

// alive tells what is wrong with the loop.
func alive(ctx context.Context, c Checks) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTime)
	defer cancel()
	err := c.Alive(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no sign of life from the event loop within %v", aliveTime)
	}
	return err
}

func reply(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, err)
		return
	}
	io.WriteString(w, "ok\n")
}

// listenError says in a person's words why an address can't be listened on.
func listenError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen on %s for HTTP: the port is in use by another process; choose another with --http", addr)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("cannot listen on %s for HTTP: not permitted; ports below 1024 need privileges", addr)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("cannot listen on %s for HTTP: the address is not one of this machine", addr)
	}
	return fmt.Errorf("cannot listen for HTTP: %w", err)
}
