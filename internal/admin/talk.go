package admin

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"time"

	"cancello/internal/sqlstate"

	"github.com/jackc/pgx/v5/pgproto3"
)

// talk is one guest's connection. Its goroutine owns it.
type talk struct {
	console *Console
	nc      net.Conn
	r       *bufio.Reader // of nc
	guest   Guest
	rank    rank
	ctx     context.Context
	out     *pgproto3.Backend

	interrupt interrupt
	prepared  map[string][]word // by name; the statement may be empty
	portals   map[string]portal
	skipping  bool // an extended message failed: all up to Sync is left out
}

// portal is a statement that was bound.
type portal struct {
	words   []word
	formats []int16
	sent    *answer // executed already; the rest of its rows is still to be sent
	next    int
}

func (t *talk) begin(ctx context.Context) {
	t.ctx = ctx
	t.r = bufio.NewReader(t.nc)
	t.out = pgproto3.NewBackend(t.r, t.nc)
	t.out.SetMaxBodyLen(maxMessage)
	t.prepared, t.portals = map[string][]word{}, map[string]portal{}
}

// fatal refuses the guest.
func (t *talk) fatal(err sqlstate.Error) {
	t.sendError(err)
	t.flush()
}

func (t *talk) flush() error {
	t.nc.SetWriteDeadline(time.Now().Add(writeTime))
	if t.ctx.Err() != nil { // looked at behind, so that a stop in between is not overwritten
		t.nc.SetWriteDeadline(time.Now().Add(lastTime))
	}
	return t.out.Flush()
}

// run greets the guest and answers until it leaves.
func (t *talk) run() {
	unbind := context.AfterFunc(t.ctx, func() { t.nc.SetDeadline(time.Unix(1, 0)) })
	defer unbind()
	t.out.Send(&pgproto3.AuthenticationOk{})
	for _, p := range t.console.parameters() {
		t.out.Send(&pgproto3.ParameterStatus{Name: p[0], Value: p[1]})
	}
	if t.guest.OnCancel != nil {
		t.guest.OnCancel(t.interrupt.cancel)
		t.out.Send(&pgproto3.BackendKeyData{ProcessID: t.guest.PID, SecretKey: t.guest.Key})
	}
	t.ready()
	for t.flush() == nil {
		m, err := t.out.Receive()
		if err != nil {
			var broken *net.OpError
			if t.ctx.Err() == nil && !errors.As(err, &broken) {
				t.fatal(sqlstate.ProtocolViolation(err.Error()).Fatal())
			}
			return
		}
		if !t.take(m) {
			return
		}
	}
}

func (t *talk) ready() { t.out.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'}) }

// take answers one message; false ends the talk.
func (t *talk) take(m pgproto3.FrontendMessage) bool {
	switch m := m.(type) {
	case *pgproto3.Terminate:
		return false
	case *pgproto3.Query:
		t.skipping = false
		t.query(m.String)
		t.ready()
		return true
	case *pgproto3.Sync:
		t.skipping = false
		clear(t.portals)
		t.ready()
		return true
	case *pgproto3.Flush:
		return true
	}
	if t.skipping {
		return true
	}
	if err := t.extended(m); err != nil {
		t.skipping = true
		t.sendError(err)
	}
	return true
}

// watch notices a guest that goes away while nothing is read from it. unwatch must be called before the next read.
func (t *talk) watch() (gone <-chan struct{}, unwatch func()) {
	closed, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		if _, err := t.r.Peek(1); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			close(closed)
		}
	}()
	return closed, func() {
		t.nc.SetReadDeadline(time.Unix(1, 0))
		<-ended
		if t.ctx.Err() == nil {
			t.nc.SetReadDeadline(time.Time{})
		}
	}
}

// query answers a text of any number of statements, up to the first that fails.
func (t *talk) query(text string) {
	all, err := statements(text)
	if err == nil && len(all) == 0 {
		t.out.Send(&pgproto3.EmptyQueryResponse{})
		return
	}
	for _, words := range all {
		var a *answer
		if a, err = t.execute(words); err != nil {
			break
		}
		if a.table != nil {
			t.out.Send(description(a.table.columns, nil))
		}
		t.sendRows(a, 0, 0, nil)
		if err = t.flush(); err != nil {
			return
		}
	}
	if err != nil {
		t.sendError(err)
	}
}

// sendRows sends an answer from a row on, at most limit of them (0: all), and what ends it. It returns where it stopped.
func (t *talk) sendRows(a *answer, from, limit int, formats []int16) int {
	n := 0
	if a.table != nil {
		n = len(a.table.rows)
	}
	end := n
	if limit > 0 && from+limit < n {
		end = from + limit
	}
	for i := from; i < end; i++ {
		t.out.Send(a.table.row(i, formats))
	}
	if end < n {
		t.out.Send(&pgproto3.PortalSuspended{})
		return end
	}
	for _, notice := range a.notices {
		t.out.Send(&pgproto3.NoticeResponse{Severity: "NOTICE", SeverityUnlocalized: "NOTICE", Code: "00000", Message: notice})
	}
	t.out.Send(&pgproto3.CommandComplete{CommandTag: []byte(a.tag)})
	return end
}

func (t *talk) sendError(err error) {
	var e sqlstate.Error
	if !errors.As(err, &e) {
		e = sqlstate.New(sqlstate.SeverityError, codeInternal, err.Error())
	}
	t.out.Send(&pgproto3.ErrorResponse{
		Severity: e.Severity, SeverityUnlocalized: e.Severity, Code: e.Code, Message: e.Message, Detail: e.Detail, Hint: e.Hint,
	})
}
