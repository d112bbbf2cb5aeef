package engine

// Bug is a deliberate bug: the simulation must find each of them, or it proves nothing.
type Bug uint8

// The deliberate bugs.
const (
	NoBug                  Bug = iota
	BugNoFence                 // nothing keeps a server still while a cancel is on the wire
	BugIgnoreEOF               // the fence falls with ReadyForQuery, not with EOF
	BugKeyOutlivesClient       // a key works after its client has gone
	BugCancelNextUnit          // a cancel for unit n is delivered although n+1 runs
	BugSyncCommitsDeparted     // a departed client's batch is ended by a bare Sync
	BugUnreadHandOn            // a server is handed on with an unread byte
	BugOldPlaceKept            // a server is handed on though its database is elsewhere now
	BugBlockCommitted          // a block that statement mode has no place for is committed
	BugCancelsCommit           // a cancel of our own goes out at a COMMIT
	BugUnitKeepsClock          // query_timeout counts from the first unit of a transaction on
	BugIdleBatchSynced         // a batch that is left open too long is ended by a bare Sync
	BugQuotaForgotten          // max_db_connections and max_user_connections are not looked at
	BugEvictBusy               // a server that a client holds is closed for another pool
	BugHungerForgotten         // who waits for room in another pool's quota is not told when there is some
	BugUnchecked               // a server that was idle for long is handed out without being asked
	BugLossNotAwaited          // what a lost client runs is cancelled at once, whatever the policy
	BugTextForgotten           // what clients share of prepared statements does not depend on the text
	BugLateAwaited             // a dial that takes long is waited for, though another upstream could do better
	BugOldAddressKept          // a server is handed on though its host has other addresses now
	BugFailingChosen           // an upstream that fails is chosen though another is up
	BugStartupKept             // a server goes on with the unreported startup values of another client
	BugSettleIgnored           // the fence falls with EOF, whatever cancel_settle says
	BugNoFenceForSQL           // nothing keeps a server still while a statement that cancels is on its way
	BugTxKeepsClock            // transaction_timeout counts from the first transaction on
	BugDisabledLetIn           // a disabled database lets clients in all the same
	BugSolePooled              // the server of a replication client is given to others when that has left
	BugSidesKept               // connections that statements cancel over are kept for good
	BugEndBeforeTold           // a unit counts as ended before its client was told
	BugToldTogether            // it counts as ended only when all were told whose units ended with it
)

// Sabotage puts a deliberate bug in. For the simulation and the stress tests only; nothing else calls it.
func (e *Engine) Sabotage(b Bug) { e.bug = b }
