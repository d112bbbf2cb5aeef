package takeover

import (
	"log/slog"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lines is a log of which a test waits for a line.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func (l lines) await(t *testing.T, what string) {
	t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case line := <-l:
			if strings.Contains(line, what) {
				return
			}
		case <-deadline:
			t.Fatalf("not logged: %s", what)
		}
	}
}

// breach is a point at which a takeover breaks off.
type breach struct {
	patience time.Duration
	do       func(t *testing.T, s *Session, old *service, place *Place, log lines)
	newOne   bool // is in service in the end
	stopped  bool // the old one is
}

const soon = 20 * time.Millisecond

// ofTheNewOne are those where the new process fails, or the old one thinks so.
func ofTheNewOne() map[string]breach {
	return map[string]breach{
		"the new one ends before it is ready": {patience, func(t *testing.T, s *Session, _ *service, _ *Place, _ lines) {
			s.Close()
		}, false, false},
		"the new one ends before it takes over": {patience, func(t *testing.T, s *Session, old *service, _ *Place, _ lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			s.Close()
			old.wants("resume")
		}, false, false},
		"the new one takes too long": {soon, func(t *testing.T, s *Session, old *service, _ *Place, _ lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			old.wants("resume")
			if err := s.Take(); err == nil || !strings.Contains(err.Error(), "goes on") {
				t.Errorf("both are in service: %v", err)
			}
		}, false, false},
		"the new one says nonsense": {patience, func(t *testing.T, s *Session, _ *service, _ *Place, _ lines) {
			if _, err := s.c.Write([]byte("nonsense")); err != nil {
				t.Fatal(err)
			}
			if err := s.Go(limited(t)); err == nil {
				t.Error("both are in service")
			}
			if err := s.Take(); err == nil {
				t.Error("both are in service")
			}
		}, false, false},
		"the new one takes over and ends before it says so": {patience, func(t *testing.T, s *Session, old *service, _ *Place, _ lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			must(t, s.Take())
			s.Close()
			old.wants("resume")
		}, false, false},
		"the new one takes over, is silent for long, and ends": {soon, func(t *testing.T, s *Session, old *service, _ *Place, log lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			must(t, s.Take())
			log.await(t, "does not say so yet")
			s.Close()
			old.wants("resume")
		}, false, false},
		"the new one takes over, and says so late": {soon, func(t *testing.T, s *Session, old *service, _ *Place, log lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			must(t, s.Take())
			log.await(t, "does not say so yet")
			must(t, s.Serving(func(net.Listener, net.Conn) {}))
			old.wants("yield")
		}, true, false},
	}
}

// ofTheOldOne are those where the old process does.
func ofTheOldOne() map[string]breach {
	return map[string]breach{
		"the old one is killed before the go": {patience, func(t *testing.T, s *Session, _ *service, place *Place, _ lines) {
			place.Close()
			must(t, s.Go(limited(t)))
			must(t, s.Take())
		}, true, true},
		"the old one is killed when it has stopped accepting": {patience, func(t *testing.T, s *Session, old *service, place *Place, _ lines) {
			closed := make(chan struct{})
			old.mu.Lock()
			old.onPause = func() {
				go func() { place.Close(); close(closed) }()
				await(t, "it stops", place.closing)
			}
			old.mu.Unlock()
			must(t, s.Go(limited(t)))
			old.wants("pause")
			<-closed
			must(t, s.Take())
		}, true, true},
		"the old one is killed before the new one takes over": {patience, func(t *testing.T, s *Session, old *service, place *Place, _ lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			place.Close()
			must(t, s.Take())
			if err := s.Serving(func(net.Listener, net.Conn) {}); err == nil {
				t.Error("it is told to nobody")
			}
		}, true, true},
		"the old one is told to stop, and the new one takes too long": {soon, func(t *testing.T, s *Session, old *service, place *Place, log lines) {
			old.mu.Lock()
			old.onPause = place.Stopping // its end takes longer than the patience
			old.mu.Unlock()
			must(t, s.Go(limited(t)))
			old.wants("pause")
			log.await(t, "this process stops while another one takes over")
			must(t, s.Take())
		}, true, true},
		"the old one is killed before the new one says so": {patience, func(t *testing.T, s *Session, old *service, place *Place, _ lines) {
			must(t, s.Go(limited(t)))
			old.wants("pause")
			must(t, s.Take())
			place.Close()
		}, true, true},
	}
}

// Wherever a takeover breaks off, one of the two is in service: the old one goes on as if nothing had been, or the new one
// has taken the baton and the old one never accepts again.
func TestTakeoverBreaksOff(t *testing.T) {
	all := ofTheNewOne()
	maps.Copy(all, ofTheOldOne())
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), "takeover")
			old := newService(t, nil)
			log := make(lines, 100)
			place, err := Open(at, identity(1), old, slog.New(slog.NewTextHandler(log, nil)))
			must(t, err)
			t.Cleanup(place.Close)
			place.patience = c.patience
			must(t, place.Point())
			s, _ := claimed(t, at, 2)
			t.Cleanup(s.Close)
			c.do(t, s, old, place, log)
			if !c.newOne {
				again, _ := claimed(t, at, 3)
				again.Close()
			} else if !c.stopped {
				if _, err := Claim(limited(t), at, identity(3), &Sockets{}); err == nil || !strings.Contains(err.Error(), "has taken over already") {
					t.Errorf("the old one is in service, too: %v", err)
				}
			}
			place.Close()
			select {
			case did := <-old.did:
				t.Errorf("it does %q", did)
			default:
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
