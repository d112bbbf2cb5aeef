package engine

import (
	"maps"
	"slices"
	"strconv"

	"cancello/internal/event"
)

// opened is what is remembered of the servers that were opened at an upstream, for people.
type opened struct {
	opens, fails uint64 // since the start
	tls, version string // of the last one
	key          string
}

// note remembers a server that was opened.
func (o *opened) note(i *ServerInfo) {
	o.opens++
	o.tls, o.version, o.key = i.TLS, "", ""
	for _, p := range i.Params {
		if p.Name == "server_version" {
			o.version = p.Value
		}
	}
	switch {
	case i.PID == 0 && !i.HasKey:
		o.key = "none"
	case !i.HasKey:
		o.key = "dummy"
	}
}

// upstreamStates lists the upstreams: those of the configured databases in their order, then others that still have
// servers, by name.
func (e *Engine) upstreamStates() []event.UpstreamState {
	var list []event.UpstreamState
	at := map[string]int{}
	for _, d := range e.cfg.Databases {
		for _, place := range d.Upstreams() {
			name := place.Host + ":" + strconv.Itoa(place.Port)
			i, there := at[name]
			if !there {
				i = len(list)
				at[name] = i
				list = append(list, e.upstreams[name].state(place.Host, place.Port))
			}
			if !slices.Contains(list[i].Entries, d.Name) {
				list[i].Entries = append(list[i].Entries, d.Name)
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(e.servers)) {
		s := e.servers[id]
		u := s.upstream
		i, there := at[u.name]
		if !there {
			i = len(list)
			at[u.name] = i
			list = append(list, u.state(u.host, u.port))
		}
		if s.phase == dialing {
			list[i].Dialing++
		} else {
			list[i].Servers++
		}
	}
	return list
}

// state is what is known of an upstream; nil for one that no pool has had.
func (u *upstream) state(host string, port int) event.UpstreamState {
	s := event.UpstreamState{Host: host, Port: port, State: "new"}
	if u == nil {
		return s
	}
	s.Addrs = slices.Clone(u.addrs)
	s.Opened, s.Fails, s.TLS, s.Version, s.Key = u.opens, u.opened.fails, u.tls, u.version, u.key
	switch {
	case u.failures > 0:
		s.State, s.FailingAt, s.LastError = "failing", u.since, u.why
	case u.opens > 0:
		s.State = "up"
	}
	return s
}
