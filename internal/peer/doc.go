// Package peer is the links between the nodes of a cluster: it drives a relay.Relay.
//
// Role: a driver. It may import relay, wire, config and event; not proxy, nor proxy it: app joins the two by the functions
// of Settings.
//
// Where to look: hub.go (what others see of it), mailbox.go (how they reach its goroutine), outside.go (what the Relay does to
// the world), admit.go (which sessions of a link there are), session.go (one of them), hello.go (what its ends prove to each
// other), certificate.go (what they do not), dial.go and listen.go (how it begins), plain.go (the way without a link), leave.go
// (the end of a process), state.go (for people).
//
// One goroutine owns the Relay and all that is in Hub.own; everybody else posts to it. Every session has a goroutine that
// reads and one that writes, every peer one that dials while there is no link.
//
// Invariants:
//   - Nothing that came over a connection reaches the Relay before both ends have proved that they know the cluster's secret:
//     over TLS 1.3 with certificates that prove nothing, by a MAC that is bound to this very TLS session (its exporter), so
//     that one in the middle has nothing to pass on.
//   - A listener says nothing before the other end has proved itself.
//   - Between two processes there is one session: one that the lower node dialed, or else the newer one. Another one is
//     ended when both ends have the one that stays, so that the link is never lost by that.
//   - Another process of this node counts as there from its first session until it has said farewell, or Kin is told that it
//     has ended.
//   - A process whose place another one took tells who has a link to it: the one that took it is dialed then, beside.
//   - The secret is in no error, event or log line.
//
// Limits: maxQueue bytes for a link that reads slowly, then it is dropped; maxUnproven connections that have not proved
// themselves, of which the oldest gives way; helloTime for that; maxSessions of one node.
package peer
