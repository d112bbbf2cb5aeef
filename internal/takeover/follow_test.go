package takeover

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
)

// A process that ends while it is asked whether it is still there is nobody.
func TestFollowOneThatEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ends")
	ln := listenOn(t, "unixpacket", path).(*net.UnixListener)
	done := make(chan error, 1)
	go func() {
		for n := range 2 {
			c, err := ln.AcceptUnix()
			if err != nil {
				done <- err
				return
			}
			if n == 0 { // what is unread resets the connection
				c.Read(make([]byte, maxPacket))
			}
			c.Close()
		}
		done <- ln.Close()
	}()
	if _, err := Follow(limited(t), path, identity(3)); !errors.Is(err, ErrNobody) {
		t.Error(err)
		ln.Close() // who waits there is done
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
