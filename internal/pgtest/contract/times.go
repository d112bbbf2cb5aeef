package contract

import "time"

var times = []sentence{
	{"Wake brings one Tick, not early", wakeOnce},
	{"a later Wake replaces an earlier one", wakeReplaced},
	{"a Wake in the past ticks soon", wakePast},
	{"Wake inside Tick works", wakeInTick},
}

func (s *stage) tickCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ticks)
}

// wake asks for a Tick after d and returns when that is.
func (s *stage) wake(d time.Duration) (at time.Duration) {
	s.w.Do(func(now time.Duration) {
		at = now + d
		s.out.Wake(at)
	})
	return at
}

func wakeOnce(s *stage) {
	at := s.wake(30 * time.Millisecond)
	s.until("Tick", func() bool { return s.tickCount() > 0 })
	s.quiet()
	if len(s.ticks) != 1 || s.ticks[0] < at || s.ticks[0] > at+5*time.Second {
		s.t.Errorf("ticks at %v, want one at %v or soon after", s.ticks, at)
	}
}

func wakeReplaced(s *stage) {
	s.wake(time.Hour)
	first := s.wake(20 * time.Millisecond)
	s.until("Tick", func() bool { return s.tickCount() == 1 })
	s.w.Do(func(now time.Duration) {
		s.out.Wake(now + 20*time.Millisecond)
		first = now + 100*time.Millisecond
		s.out.Wake(first)
	})
	s.until("Tick", func() bool { return s.tickCount() == 2 })
	s.quiet()
	if len(s.ticks) != 2 || s.ticks[1] < first {
		s.t.Errorf("ticks at %v, want the second at %v", s.ticks, first)
	}
}

func wakePast(s *stage) {
	s.wake(-time.Hour)
	s.until("Tick", func() bool { return s.tickCount() == 1 })
	s.wake(0)
	s.until("Tick", func() bool { return s.tickCount() == 2 })
	s.quiet()
	if n := s.tickCount(); n != 2 {
		s.t.Errorf("%d ticks for two Wakes", n)
	}
}

func wakeInTick(s *stage) {
	s.onTick = func(now time.Duration) {
		if len(s.ticks) < 5 {
			s.out.Wake(now + time.Millisecond)
		}
	}
	s.wake(0)
	s.until("five ticks", func() bool { return s.tickCount() == 5 })
	s.quiet()
	for i := 1; i < len(s.ticks); i++ {
		if s.ticks[i] < s.ticks[i-1]+time.Millisecond {
			s.t.Errorf("ticks at %v, want a millisecond between them", s.ticks)
		}
	}
}
