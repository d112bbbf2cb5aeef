package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"cancello/internal/wire"
)

// latency cancels one query after another, each time the next target's: what disturbs one disturbs its neighbours.
func (b *cancelBench) latency(ctx context.Context, s *stage, over transport) error {
	holders := map[string]*holder{}
	defer func() {
		for _, h := range holders {
			h.leave()
		}
	}()
	for _, t := range everybody(s, 0) {
		h, err := hold(t, over, wire.V30)
		if err != nil {
			return err
		}
		holders[t.name] = h
		if _, err := h.once(); err != nil { // not counted: it opens the proxy's first server
			return err
		}
	}
	for round := range b.plan.rounds {
		progress("\r\033[Kone at a time, %s: round %d of %d", over, round+1, b.plan.rounds)
		took := map[string][]hit{}
		for i := range b.plan.each {
			for _, t := range everybody(s, round+i) {
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
				one, err := holders[t.name].once()
				if err != nil {
					return err
				}
				took[t.name] = append(took[t.name], one)
			}
		}
		for _, t := range everybody(s, 0) {
			b.result.add(summed(partOf(over), t.name, took[t.name]))
		}
	}
	return nil
}

// hit is one cancel.
type hit struct {
	took  time.Duration // from its dial to the client's error
	lost  bool          // there was no error
	stray int           // cancels that came when none had been asked for
}

// once cancels one running query, and goes on when the request's connection is closed.
func (h *holder) once() (hit, error) {
	strays, err := h.begin()
	if err != nil {
		return hit{}, err
	}
	began := time.Now()
	conn, err := h.cancel()
	if err != nil {
		return hit{}, err
	}
	e, err := h.end()
	awaitEnd(conn)
	return hit{took: e.at.Sub(began), lost: e.code == "", stray: strays}, err
}

// summed is a round of one target. What was lost has no time.
func summed(part, target string, hits []hit) cancelFigure {
	f := cancelFigure{Part: part, Target: target, Cancels: len(hits)}
	var took []time.Duration
	for _, s := range hits {
		f.Stray += s.stray
		if s.lost {
			f.Lost++
			continue
		}
		took = append(took, s.took)
	}
	if len(took) == 0 {
		return f
	}
	slices.Sort(took)
	f.P50, f.P99 = microseconds(percentile(took, 50)), microseconds(percentile(took, 99))
	return f
}
