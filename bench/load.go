package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// silence is how long nothing at all may be answered before the load gives up.
const silence = 30 * time.Second

// load is a number of clients that one thread drives in a closed loop.
type load struct {
	clients []*client
	byFD    map[int32]*client
	poll    int
	script  *script
	took    []time.Duration // one for each answer of the last run
}

// openLoad logs the clients in.
func openLoad(t target, s *script, clients int) (*load, error) {
	poll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &load{poll: poll, script: s, byFD: map[int32]*client{}, took: make([]time.Duration, 0, 1<<16)}
	for i := range clients {
		c, err := s.enter(t, i)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("login: %w", err)
		}
		l.clients = append(l.clients, c)
		l.byFD[int32(c.fd)] = c
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}); err != nil {
			l.close()
			return nil, err
		}
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		c.leave()
	}
	unix.Close(l.poll)
}

// run asks for that long, waits for the last answers, and says how long it all took. What each answer took is in
// l.took.
func (l *load) run(length time.Duration) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	l.took = l.took[:0]
	events := make([]unix.EpollEvent, len(l.clients))
	b, plain := make([]byte, 16<<10), make([]byte, 16<<10)
	began := time.Now()
	for _, c := range l.clients {
		if err := c.ask(l.script); err != nil {
			return 0, err
		}
	}
	for open := len(l.clients); open > 0; {
		n, err := unix.EpollWait(l.poll, events, int(silence.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, fmt.Errorf("%d clients have waited %s for an answer", open, silence)
		}
		for _, event := range events[:n] {
			c := l.byFD[event.Fd]
			err := c.hear(l.script, b, plain)
			if errors.Is(err, errNotDone) {
				continue
			}
			if err != nil {
				return 0, err
			}
			now := time.Now()
			l.took = append(l.took, now.Sub(c.asked))
			if now.Sub(began) >= length {
				open--
				continue
			}
			if err := c.ask(l.script); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(began), nil
}
