package probe

import "context"

func (st state) asCase() Case {
	return Case{
		ID: "pooler.leak-" + st.name, Group: GroupPooler, Title: st.title + " of one client is not met by another.",
		Source:   "what belongs to a session ends with it: sql-set.html, sql-createtable.html, sql-prepare.html, explicit-locking.html, sql-listen.html",
		Expected: "another client on the same server process doesn't find it, neither while its owner is connected nor after",
		Means:    st.means, Run: func(ctx context.Context, b *Bench) Result { return st.look(ctx, b) },
	}
}

// sighting is what a look at one server process found.
type sighting struct {
	met    bool // one of our later sessions was on that process
	leaked bool // and found the state there
}

// look makes the state, looks for it from other sessions while its owner is there and after, and undoes it.
func (st state) look(ctx context.Context, b *Bench) Result {
	owner, err := b.Login(ctx, LoginOptions{})
	if err != nil {
		return excused(err)
	}
	a, err := owner.Query(st.set + "; " + processSQL)
	switch {
	case err != nil:
		return excused(err)
	case a.Err() != nil:
		return Conclude(NotApplicable, "the server can't do %s: %s", quoted(st.set), a.Err().Error())
	case len(a.Rows) == 0 || len(a.Rows[len(a.Rows)-1]) != 1:
		return Conclude(Unknown, "the server doesn't say which process answers")
	}
	where := a.Rows[len(a.Rows)-1][0]
	during, err := st.visit(ctx, b, where, false)
	if err != nil {
		return excused(err)
	}
	_ = owner.Close()
	pause(ctx, b.settle())
	after, err := st.visit(ctx, b, where, false)
	if err != nil {
		return excused(err)
	}
	left := ""
	if during.leaked || after.leaked {
		undone, err := st.visit(ctx, b, where, true)
		if err != nil || undone.leaked {
			left = "; it could not be undone"
		}
	}
	switch {
	case during.leaked && after.leaked:
		return Conclude(Fail, "another client finds it while its owner is connected, and still after it has left%s", left)
	case during.leaked:
		return Conclude(Fail, "another client finds it while its owner is connected%s", left)
	case after.leaked:
		return Conclude(Fail, "the next client finds it after its owner has left%s", left)
	case during.met && after.met:
		return Conclude(Pass, "other clients on the same server process don't find it, neither while its owner is connected nor after")
	case during.met:
		return Conclude(Pass, "another client on the same server process doesn't find it while its owner is connected")
	case after.met:
		return Conclude(Pass, "the next client on the same server process doesn't find it")
	}
	return Conclude(NotApplicable, "no other session of ours came to the same server process")
}

// visit opens sessions, each in a transaction so that a pooler gives each another server, until one is on the process.
// With undo it undoes the state there and looks again.
func (st state) visit(ctx context.Context, b *Bench, where string, undo bool) (sighting, error) {
	var found sighting
	var open []*Session
	defer func() {
		for _, s := range open {
			_, _ = s.Query("ROLLBACK")
			_ = s.Close()
		}
	}()
	for range max(1, b.Connections-1) {
		s, err := b.Login(ctx, LoginOptions{})
		if err != nil {
			if len(open) > 0 {
				return found, nil // no more are let in
			}
			return found, err
		}
		answered, err := b.begin(s)
		if err != nil {
			return found, err
		}
		if !answered {
			_ = s.Vanish() // it waits: all servers are in our hands
			return found, nil
		}
		open = append(open, s)
		there, p, err := st.there(s)
		if err != nil {
			return found, err
		}
		if there && undo {
			if there, err = st.away(s); err != nil {
				return found, err
			}
		}
		found.leaked = found.leaked || there
		if p == where {
			found.met = true
			return found, nil
		}
	}
	return found, nil
}

// begin opens a transaction; false if it has to wait for a server.
func (b *Bench) begin(s *Session) (bool, error) {
	if err := s.Ask("BEGIN"); err != nil {
		return false, err
	}
	if err := s.linger(b.Quiet, 'Z'); err != nil {
		return false, err
	}
	if !s.holds('Z') {
		return false, nil
	}
	_, err := s.Await()
	return true, err
}

// there says whether the state is on a session's process, and which one that is.
func (st state) there(s *Session) (bool, string, error) {
	a, err := s.Query("SELECT pg_backend_pid(), " + st.see)
	switch {
	case err != nil:
		return false, "", err
	case a.Err() != nil:
		return false, "", &excuse{Unknown, "the server can't be asked whether it is there: " + a.Err().Error()}
	case len(a.Rows) != 1 || len(a.Rows[0]) != 2:
		return false, "", &excuse{Unknown, "the server doesn't say whether it is there"}
	}
	return a.Rows[0][1] == "t", a.Rows[0][0], nil
}

// away undoes the state for good, and says whether it is still there.
func (st state) away(s *Session) (bool, error) {
	for _, sql := range []string{st.undo, "COMMIT", "BEGIN"} {
		if _, err := s.Query(sql); err != nil {
			return true, err
		}
	}
	there, _, err := st.there(s)
	return there, err
}
