package fake

// CancelKnobs are about CancelRequest.
type CancelKnobs struct {
	Ignore bool // no request ends anything
}
