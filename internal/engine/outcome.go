package engine

import "cancello/internal/event"

// ended: the unit of an order has ended. What that makes of the order depends on how far it was.
func (e *Engine) ended(o *order) {
	switch {
	case o.state == void:
	case o.state == going: // its outcome is due when its fence falls
		if e.bug == BugIgnoreEOF {
			o.lower()
		}
	case o.sends > 0 && o.side != nil && o.c.sess.WasCancelled(o.unit):
		e.settleOrder(o, event.SQL, "")
	case o.sends > 0 && o.c.sess.WasCancelled(o.unit):
		e.settleOrder(o, event.Cancelled, "")
	case o.severed:
		e.settleOrder(o, event.Disconnected, "the server connection was closed while the unit ran")
	case o.sends == 0:
		e.settleOrder(o, event.Finished, "")
	default:
		e.settleOrder(o, event.Late, "")
	}
}

// settleOrder gives all tickets of an order their outcome. The order itself stays known while the driver owes an answer.
func (e *Engine) settleOrder(o *order, outcome event.Outcome, reason string) {
	if o.state == void {
		return
	}
	owed := o.state == carrying
	o.become(void)
	if !owed {
		delete(e.orders, o.id)
	}
	for i, other := range o.c.orders {
		if other == o {
			o.c.orders = append(o.c.orders[:i], o.c.orders[i+1:]...)
			break
		}
	}
	if len(o.tickets) == 0 { // our own
		e.settleTicket(ticket{readAt: o.began, released: true}, outcome, o.c, o, reason)
	}
	for _, t := range o.tickets {
		e.settleTicket(t, outcome, o.c, o, reason)
	}
}
