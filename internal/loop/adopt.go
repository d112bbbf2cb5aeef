package loop

import "cancello/internal/engine"

// Reserve names a connection whose descriptor comes later. It may be called from any goroutine; Adopt or Abandon
// must follow, or its Closed never comes.
func (l *Loop) Reserve() engine.Conn {
	l.live.Add(1)
	return l.names.reserve()
}

// Adopt gives c its descriptor, which belongs to the loop from then on, whatever becomes of it. first is what was
// read from it already; it belongs to the loop too and is delivered as the first Data, after this
// call. What was sent to c since Reserve goes out, and a Close asked since then is carried out.
func (l *Loop) Adopt(c engine.Conn, fd int, first []byte) {
	l.onLoop("Adopt")
	k := l.find(c)
	if k == nil || k.state != reserved {
		closeFD(fd)
		return
	}
	k.num = int32(fd)
	if k.asked && k.askedHow == engine.Now {
		l.end(c, k, nil)
		return
	}
	if err := l.epoll.add(fd, c); err != nil {
		l.end(c, k, err)
		return
	}
	k.state = open
	if k.asked {
		l.Close(c, k.askedHow)
		return
	}
	if len(first) > 0 {
		k.first = &early{first}
		l.push(c, k)
	}
	if k.over() {
		l.push(c, k)
	}
	if k.waits() {
		l.touch(c, k)
	}
}

// Abandon ends a reserved connection that will not be adopted: Closed follows with err.
func (l *Loop) Abandon(c engine.Conn, err error) {
	l.onLoop("Abandon")
	if k := l.find(c); k != nil && k.state == reserved {
		l.end(c, k, err)
	}
}

// Pause asks for no more Data from c.
func (l *Loop) Pause(c engine.Conn) {
	l.onLoop("Pause")
	k := l.find(c)
	if k == nil || k.paused {
		return
	}
	k.paused = true
	if l.wants(k) {
		l.push(c, k)
	}
}

// Resume undoes Pause.
func (l *Loop) Resume(c engine.Conn) {
	l.onLoop("Resume")
	k := l.find(c)
	if k == nil || !k.paused {
		return
	}
	k.paused = false
	if l.wants(k) {
		l.push(c, k)
	}
}
