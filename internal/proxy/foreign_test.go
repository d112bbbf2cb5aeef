package proxy

import (
	"testing"

	"cancello/internal/config"
	"cancello/internal/pgtest/fake"
)

// A CancelRequest that is passed on to the server whose key it has is no login: it may have a descriptor of those kept for
// cancels, and its handshake does not wait behind those who log in.
func TestForwardedCancelIsNoLogin(t *testing.T) {
	a := fake.NewAuthority(t)
	srv := fake.NewServer(t, fake.Config{TLS: serving(a.Issue("server", "127.0.0.1"))})
	w := start(t, newScript(), withServerTLS(t, config.DatabaseTLS{Mode: config.Give(config.SSLVerifyFull), CA: a.File}), func(s *Settings) {
		d := &s.Config.Databases[0]
		d.Port, d.Keys = srv.Port(), config.Give(config.KeysUpstream)
		s.Config.Cancel.Timeout = fake.Patience
	})
	full(w)
	open := w.gate.shut(t)
	c := fake.Dial(t, w.addr())
	c.Put(fake.Cancel(4711, testKey))
	w.gate.stands(t, ofOrders)
	open()
	c.WantEOF()
	if got := srv.Cancels(); len(got) != 1 || got[0].PID != 4711 || !got[0].TLS {
		t.Errorf("the server got %d requests; outcomes %v", len(got), w.settled())
	}
}
