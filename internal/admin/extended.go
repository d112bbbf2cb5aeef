package admin

import (
	"fmt"

	"cancello/internal/sqlstate"

	"github.com/jackc/pgx/v5/pgproto3"
)

// extended answers one message of the extended protocol. An error goes to the guest.
func (t *talk) extended(m pgproto3.FrontendMessage) error {
	switch m := m.(type) {
	case *pgproto3.Parse:
		return t.parse(m)
	case *pgproto3.Bind:
		return t.bind(m)
	case *pgproto3.Describe:
		return t.describe(m)
	case *pgproto3.Execute:
		return t.executePortal(m)
	case *pgproto3.Close:
		if m.ObjectType == 'S' {
			delete(t.prepared, m.Name)
		} else {
			delete(t.portals, m.Name)
		}
		t.out.Send(&pgproto3.CloseComplete{})
		return nil
	}
	return sqlstate.ProtocolViolation(fmt.Sprintf("the console does not know what to do with %T", m))
}

func (t *talk) parse(m *pgproto3.Parse) error {
	if len(m.ParameterOIDs) > 0 {
		return noParameters()
	}
	all, err := statements(m.Query)
	switch {
	case err != nil:
		return err
	case len(all) > 1:
		return syntax("cannot insert multiple commands into a prepared statement")
	case m.Name != "" && t.prepared[m.Name] != nil:
		return sqlstate.New(sqlstate.SeverityError, "42P05", fmt.Sprintf("prepared statement %q already exists", m.Name))
	case len(t.prepared) >= maxPrepared:
		return sqlstate.InternalLimit("prepared statements at the console", maxPrepared)
	}
	words := []word{}
	if len(all) > 0 {
		words = all[0]
	}
	for _, w := range words {
		if !w.quoted && len(w.text) > 1 && w.text[0] == '$' {
			return noParameters()
		}
	}
	t.prepared[m.Name] = words
	t.out.Send(&pgproto3.ParseComplete{})
	return nil
}

func noParameters() error {
	return sqlstate.New(sqlstate.SeverityError, sqlstate.CodeFeatureNotSupported, "the console's statements take no parameters")
}

func (t *talk) bind(m *pgproto3.Bind) error {
	words := t.prepared[m.PreparedStatement]
	switch {
	case words == nil:
		return sqlstate.StatementMissing(m.PreparedStatement)
	case len(m.Parameters) > 0:
		return noParameters()
	case len(t.portals) >= maxPrepared:
		return sqlstate.InternalLimit("portals at the console", maxPrepared)
	}
	t.portals[m.DestinationPortal] = portal{words: words, formats: append([]int16(nil), m.ResultFormatCodes...)}
	t.out.Send(&pgproto3.BindComplete{})
	return nil
}

func (t *talk) describe(m *pgproto3.Describe) error {
	var words []word
	var formats []int16
	if m.ObjectType == 'S' {
		if words = t.prepared[m.Name]; words == nil {
			return sqlstate.StatementMissing(m.Name)
		}
		t.out.Send(&pgproto3.ParameterDescription{})
	} else {
		p, ok := t.portals[m.Name]
		if !ok {
			return noPortal(m.Name)
		}
		words, formats = p.words, p.formats
	}
	list, err := shape(words)
	if err != nil {
		return err
	}
	if list == nil {
		t.out.Send(&pgproto3.NoData{})
		return nil
	}
	t.out.Send(description(list, formats))
	return nil
}

// executePortal executes a portal, or goes on with one of which rows are left.
func (t *talk) executePortal(m *pgproto3.Execute) error {
	p, ok := t.portals[m.Portal]
	if !ok {
		return noPortal(m.Portal)
	}
	if len(p.words) == 0 {
		t.out.Send(&pgproto3.EmptyQueryResponse{})
		return nil
	}
	if p.sent == nil {
		var err error
		if p.sent, err = t.execute(p.words); err != nil {
			return err
		}
	}
	p.next = t.sendRows(p.sent, p.next, int(m.MaxRows), p.formats)
	t.portals[m.Portal] = p
	return nil
}

func noPortal(name string) error {
	return sqlstate.New(sqlstate.SeverityError, "34000", fmt.Sprintf("portal %q does not exist", name))
}
