package config

import "time"

// Limits are how long clients may take: PgBouncer's settings. 0 is no limit.
type Limits struct {
	ClientIdle      time.Duration // client_idle_timeout: nothing asked, outside of a transaction
	IdleTransaction time.Duration // idle_transaction_timeout: a transaction or batch is open, and the server waits for the client
	Query           time.Duration // query_timeout: a server works on one unit
	Transaction     time.Duration // transaction_timeout: from the first unit of a transaction to its end
}

// UserLimits are what a user has in place of the general ones.
type UserLimits struct {
	ClientIdle, IdleTransaction, Query, Transaction Override[time.Duration]
}

// over puts a user's limits in the place of the general ones.
func (u UserLimits) over(general Limits) Limits {
	return Limits{
		ClientIdle:      u.ClientIdle.Or(general.ClientIdle),
		IdleTransaction: u.IdleTransaction.Or(general.IdleTransaction),
		Query:           u.Query.Or(general.Query),
		Transaction:     u.Transaction.Or(general.Transaction),
	}
}

// limit is one of the limits in the tables.
type limit struct {
	name, about string
	general     func(*Limits) *time.Duration
	user        func(*UserLimits) *Override[time.Duration]
}

func limits() []limit {
	return []limit{
		{"client_idle_timeout", "a client that asks nothing that long, outside of a transaction, is closed (57P05)",
			func(l *Limits) *time.Duration { return &l.ClientIdle }, func(u *UserLimits) *Override[time.Duration] { return &u.ClientIdle }},
		{"idle_transaction_timeout", "a client whose transaction or batch is open while nothing of it runs is closed after that (25P03), and the transaction rolled back; its server is kept",
			func(l *Limits) *time.Duration { return &l.IdleTransaction }, func(u *UserLimits) *Override[time.Duration] { return &u.IdleTransaction }},
		{"query_timeout", "a query or batch that a server has worked on for that long is cancelled in PostgreSQL (57014), and the client goes on. Not one that may be a COMMIT",
			func(l *Limits) *time.Duration { return &l.Query }, func(u *UserLimits) *Override[time.Duration] { return &u.Query }},
		{"transaction_timeout", "a client whose transaction has taken that long is closed (25P04), what runs cancelled and the transaction rolled back; its server is kept. Not one that may be at its COMMIT",
			func(l *Limits) *time.Duration { return &l.Transaction }, func(u *UserLimits) *Override[time.Duration] { return &u.Transaction }},
	}
}

// generalLimits is the limits' part of the table of general settings.
func generalLimits() []setting[Config] {
	var list []setting[Config]
	for _, l := range limits() {
		list = append(list, setting[Config]{table: "timeouts", name: l.name, about: l.about, zero: "no limit",
			duration: func(c *Config) *time.Duration { return l.general(&c.Limits) }})
	}
	return list
}

// userLimits is their part of the table of users.
func userLimits() []setting[User] {
	var list []setting[User]
	for _, l := range limits() {
		list = append(list, setting[User]{name: l.name, about: l.about, absent: inherited, zero: "no limit",
			given: func(u *User) *bool { return &l.user(&u.Limits).Given }, duration: func(u *User) *time.Duration { return &l.user(&u.Limits).Value }})
	}
	return list
}

// OnLoss is what becomes of what a client runs that vanished without a word (on_client_loss). What it left open is rolled
// back in any case.
type OnLoss uint8

// The ways.
const (
	LossCancels OnLoss = iota // it is cancelled
	LossWaits                 // it may end within client_loss_timeout, as on a direct connection
	LossCloses                // its server is closed, and PostgreSQL left to notice
)

func (o *OnLoss) pick(i int)    { *o = OnLoss(i) }
func (o *OnLoss) index() int    { return int(*o) }
func onLossWords() []string     { return []string{"cancel", "wait", "close"} }
func (o OnLoss) String() string { return onLossWords()[o] }
