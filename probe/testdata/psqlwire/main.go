// Command psqlwire is a small server built on psql-wire, for `cancello check` and for tests to look at.
//
//	psqlwire ADDR [--keys | --keys=zero | --keys=same]
//
// Without --keys it is what psql-wire is by default: it sends no BackendKeyData. With zero everybody is given zeros, with
// same everybody the same key: a CancelRequest with one of them is for all of them. It says on standard error where it
// listens, when a pg_sleep begins, and when a CancelRequest comes; a line on standard input ends each pg_sleep as if its
// time had passed. It knows SELECT 1, pg_sleep,
// pg_backend_pid and the words of transactions; anything else is a syntax error.
package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log"
	"log/slog"
	"net"
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
	stop   context.CancelFunc // ends the statement that runs
	awake  context.CancelFunc // and this one as if its time had passed
}

type server struct {
	mu     sync.Mutex
	byAddr map[string]*session
	byKey  map[key]map[*session]bool
	last   int32
	forAll *key // where there is one for everybody
}

type sessionKey struct{}

var sleeps = regexp.MustCompile(`(?i)pg_sleep\(([0-9.]+)\)`)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: psqlwire ADDR [--keys]")
	}
	s := &server{byAddr: map[string]*session{}, byKey: map[key]map[*session]bool{}, last: 100000}
	options := []wire.OptionFn{
		wire.Logger(slog.New(slog.DiscardHandler)),
		wire.Version("16.0"),
		wire.SessionMiddleware(s.begin),
		wire.CloseConn(s.end),
		wire.TxStatus(func(ctx context.Context) types.ServerStatus {
			return types.ServerStatus(of(ctx).status.Load())
		}),
	}
	if len(os.Args) > 2 {
		switch os.Args[2] {
		case "--keys":
		case "--keys=zero":
			s.forAll = &key{}
		case "--keys=same":
			s.forAll = &key{42, 0x002be210}
		default:
			log.Fatalf("unknown: %s", os.Args[2])
		}
		options = append(options, wire.BackendKeyData(s.mint), wire.CancelRequest(s.cancel))
	}
	srv, err := wire.NewServer(parse, options...)
	if err != nil {
		log.Fatal(err)
	}
	ln, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening on %s", ln.Addr())
	go s.wake()
	log.Fatal(srv.Serve(ln))
}

// wake ends pg_sleep.
func (s *server) wake() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		s.mu.Lock()
		for _, x := range s.byAddr {
			x.mu.Lock()
			if x.awake != nil {
				x.awake()
			}
			x.mu.Unlock()
		}
		s.mu.Unlock()
	}
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
		if s.forAll != nil {
			found.key = *s.forAll
		}
		found.status.Store(int32(types.ServerIdle))
		s.byAddr[addr] = found
		if s.byKey[found.key] == nil {
			s.byKey[found.key] = map[*session]bool{}
		}
		s.byKey[found.key][found] = true
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
	delete(s.byKey[of(ctx).key], of(ctx))
	if len(s.byKey[of(ctx).key]) == 0 {
		delete(s.byKey, of(ctx).key)
	}
	delete(s.byAddr, wire.RemoteAddress(ctx).String())
	return nil
}

func (s *server) cancel(_ context.Context, pid, secret int32) error {
	log.Print("a CancelRequest")
	s.mu.Lock()
	defer s.mu.Unlock()
	for found := range s.byKey[key{pid, secret}] {
		found.mu.Lock()
		if found.stop != nil {
			found.stop()
		}
		found.mu.Unlock()
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
		running, stop := context.WithCancel(ctx)
		slept, awake := context.WithTimeout(running, d)
		defer stop()
		defer awake()
		s.mu.Lock()
		s.stop, s.awake = stop, awake
		s.mu.Unlock()
		log.Print("a pg_sleep")
		<-slept.Done()
		s.mu.Lock()
		s.stop, s.awake = nil, nil
		s.mu.Unlock()
		if running.Err() != nil {
			if s.status.Load() == int32(types.ServerTransactionBlock) {
				s.status.Store(int32(types.ServerTransactionFailed))
			}
			return psqlerr.WithCode(errors.New("canceling statement due to user request"), codes.QueryCanceled)
		}
		return row("")(ctx, w, p)
	}
}
