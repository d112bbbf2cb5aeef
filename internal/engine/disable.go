package engine

import "time"

// Disable lets no new client in to a database; those that are in stay. False: there is no such database.
func (e *Engine) Disable(now time.Duration, database string) bool {
	e.now = now
	if database == "" || !e.knows(database) {
		return false
	}
	e.disabled[database] = true
	return true
}

// Enable undoes Disable. False: it was not disabled.
func (e *Engine) Enable(now time.Duration, database string) bool {
	e.now = now
	was := e.disabled[database]
	delete(e.disabled, database)
	return was
}
