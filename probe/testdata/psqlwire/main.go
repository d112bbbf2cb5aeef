// Command psqlwire is a small server built on psql-wire, for `cancello check` to look at.
//
//	psqlwire ADDR [--keys]
//
// Without --keys it is what psql-wire is by default: it sends no BackendKeyData. It knows SELECT 1, pg_sleep,
// pg_backend_pid and the words of transactions; anything else is a syntax error.
package main

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	wire "github.com/jeroenrinzema/psql-wire"
	"github.com/jeroenrinzema/psql-wire/codes"
	psqlerr "github.com/jeroenrinzema/psql-wire/errors"
	"github.com/jeroenrinzema/psql-wire/pkg/types"

	"github.com/jackc/pgx/v5/pgtype"
)

type key struct{ pid, secret int32 }

// session is what one connection has.
type session struct {
	key    key
	status atomic.Int32 // a types.ServerStatus
	mu     sync.Mutex
	stop   context.CancelFunc // of the statement that runs
}

type server struct {
	mu     sync.Mutex
	byAddr map[string]*session
	byKey  map[key]*session
	last   int32
}

type sessionKey struct{}

var sleeps = regexp.MustCompile(`(?i)pg_sleep\(([0-9.]+)\)`)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: psqlwire ADDR [--keys]")
	}
	s := &server{byAddr: map[string]*session{}, byKey: map[key]*session{}, last: 100000}
	options := []wire.OptionFn{
		wire.Logger(slog.New(slog.DiscardHandler)),
		wire.Version("16.0"),
		wire.SessionMiddleware(s.begin),
		wire.CloseConn(s.end),
		wire.TxStatus(func(ctx context.Context) types.ServerStatus {
			return types.ServerStatus(of(ctx).status.Load())
		}),
	}
	if len(os.Args) > 2 && os.Args[2] == "--keys" {
		options = append(options, wire.BackendKeyData(s.mint), wire.CancelRequest(s.cancel))
	}
	srv, err := wire.NewServer(parse, options...)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(srv.ListenAndServe(os.Args[1]))
}

func of(ctx context.Context) *session { return ctx.Value(sessionKey{}).(*session) }

func (s *server) at(addr string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byAddr[addr]
	if found == nil {
		var secret [4]byte
		_, _ = rand.Read(secret[:])
		s.last++
		found = &session{key: key{s.last, int32(binary.BigEndian.Uint32(secret[:]))}}
		found.status.Store(int32(types.ServerIdle))
		s.byAddr[addr], s.byKey[found.key] = found, found
	}
	return found
}

func (s *server) mint(ctx context.Context) (int32, int32) {
	k := s.at(wire.RemoteAddress(ctx).String()).key
	return k.pid, k.secret
}

func (s *server) begin(ctx context.Context) (context.Context, error) {
	return context.WithValue(ctx, sessionKey{}, s.at(wire.RemoteAddress(ctx).String())), nil
}

func (s *server) end(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byKey, of(ctx).key)
	delete(s.byAddr, wire.RemoteAddress(ctx).String())
	return nil
}

func (s *server) cancel(_ context.Context, pid, secret int32) error {
	s.mu.Lock()
	found := s.byKey[key{pid, secret}]
	s.mu.Unlock()
	if found == nil {
		return nil
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	if found.stop != nil {
		found.stop()
	}
	return nil
}

func parse(_ context.Context, q wire.Query) (wire.PreparedStatements, error) {
	text := strings.ToLower(strings.TrimRight(strings.TrimSpace(q.Query), "; "))
	one := wire.Columns{{Name: "?column?", Oid: pgtype.TextOID}}
	switch {
	case text == "":
		return wire.Prepared(wire.NewStatement(func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error { return w.Empty() })), nil
	case text == "select 1":
		return wire.Prepared(wire.NewStatement(unlessFailed(row("1")), wire.WithColumns(one))), nil
	case text == "select pg_backend_pid()":
		return wire.Prepared(wire.NewStatement(func(ctx context.Context, w wire.DataWriter, p []wire.Parameter) error {
			return row(strconv.Itoa(int(of(ctx).key.pid)))(ctx, w, p)
		}, wire.WithColumns(one))), nil
	case sleeps.MatchString(text) && strings.HasPrefix(text, "select"):
		seconds, _ := strconv.ParseFloat(sleeps.FindStringSubmatch(text)[1], 64)
		return wire.Prepared(wire.NewStatement(sleep(time.Duration(seconds*float64(time.Second))), wire.WithColumns(one))), nil
	case text == "begin", text == "commit", text == "rollback":
		return wire.Prepared(wire.NewStatement(func(ctx context.Context, w wire.DataWriter, _ []wire.Parameter) error {
			status := types.ServerIdle
			if text == "begin" {
				status = types.ServerTransactionBlock
			}
			of(ctx).status.Store(int32(status))
			return w.Complete(strings.ToUpper(text))
		})), nil
	}
	return nil, psqlerr.WithCode(errors.New("this server knows no such statement"), codes.Syntax)
}

// unlessFailed refuses a statement in a block that has failed.
func unlessFailed(run wire.PreparedStatementFn) wire.PreparedStatementFn {
	return func(ctx context.Context, w wire.DataWriter, p []wire.Parameter) error {
		if of(ctx).status.Load() == int32(types.ServerTransactionFailed) {
			return psqlerr.WithCode(errors.New("current transaction is aborted"), codes.InFailedSQLTransaction)
		}
		return run(ctx, w, p)
	}
}

func row(value string) wire.PreparedStatementFn {
	return func(_ context.Context, w wire.DataWriter, _ []wire.Parameter) error {
		if err := w.Row([]any{value}); err != nil {
			return err
		}
		return w.Complete("SELECT 1")
	}
}

func sleep(d time.Duration) wire.PreparedStatementFn {
	return func(ctx context.Context, w wire.DataWriter, p []wire.Parameter) error {
		s := of(ctx)
		running, stop := context.WithTimeout(ctx, d)
		defer stop()
		s.mu.Lock()
		s.stop = stop
		s.mu.Unlock()
		<-running.Done()
		s.mu.Lock()
		s.stop = nil
		s.mu.Unlock()
		if errors.Is(running.Err(), context.Canceled) {
			if s.status.Load() == int32(types.ServerTransactionBlock) {
				s.status.Store(int32(types.ServerTransactionFailed))
			}
			return psqlerr.WithCode(errors.New("canceling statement due to user request"), codes.QueryCanceled)
		}
		return row("")(ctx, w, p)
	}
}
