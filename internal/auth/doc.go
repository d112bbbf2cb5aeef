// Package auth proves who somebody is, on both sides: that a client is the user it claims to be (Verifier,
// Exchange), and to a server that we are (Login).
//
// Role: step machines that take the body of one message and return the next one to send. The login driver is a
// loop around them:
//
//	x := v.Begin(user, nonce)                       l := auth.NewLogin(user, password, nonce)
//	x.Bind(the hash of the certificate we served)   l.Bind(..., the hash of the server's certificate)
//	send := x.First()                               users.Equip(l, what a client lent)
//	for done := x.Done(); !done; {                  for each 'R' of the server {
//		write(send)                                     send, done, err := l.Receive(body)
//		send, done, err = x.Receive(read('p'))          write(send)
//	}                                               }
//
// The pieces: exchange.go and exchange_scram.go check clients, verifier.go says how, userlist*.go is what is known of
// them; login.go and login_scram.go log in to servers; loginkeys.go is how one lends its keys to the other, so that
// neither side's password is stored.
//
// It may import wire and sqlstate, xdg-go/scram and xdg-go/stringprep, and of the standard library what is pure.
// Random bytes and file contents come in as arguments. Our own SCRAM client exists because xdg-go's cannot start
// from keys that were derived before.
//
// Ownership: a body is only read during the call and never kept; what is returned to be sent is a complete
// message (type, length, body) and belongs to the caller. A Verifier and a Userlist never change and may be shared;
// an Exchange and a Login belong to one connection.
//
// Invariants: no password, key or message content is in an error, a Reason or a String. Secrets compare in
// constant time. A user that doesn't exist is asked the same questions, gets the same answers and costs the same
// work as one with a wrong password: a refused attempt derives exactly one key where any entry of the list needs
// a derivation at all, and none where no entry does. Where methods differ between users, as with MD5, so do those of
// users that don't exist, in the same proportion. A channel that can be bound is never given up without saying so:
// whoever takes the offer away in between is found out by the side that made it.
//
// Cost: deriving a SCRAM key is thousands of rounds of SHA-256, a millisecond and more. Exchange.Costly and
// Login.Costly say before a call that it may do so; the driver lets such calls through a gate.
//
// Limits: SASL messages of maxSASLMessage bytes, MaxIterations rounds.
package auth
