package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// version is that of the packets. Fields that are unknown are skipped, so it changes only with the meaning of old ones.
const version = 2

const (
	maxPacket = 64 << 10
	// maxRights is SCM_MAX_FD of Linux.
	maxRights = 253
)

// kind is what a packet says.
type kind string

// From the new process, and from the old one.
const (
	claim   kind = "claim"   // I come in your place
	follow  kind = "follow"  // I came in the place of one that came in yours
	link    kind = "link"    // give me a stream for cancels; and the answer, with it
	ready   kind = "go"      // stop accepting
	serving kind = "serving" // I accept, as the baton says

	offer   kind = "offer"   // here is what I have, and behind the sockets the baton; none to one that follows
	refuse  kind = "refuse"  // no, and why
	yours   kind = "yours"   // I accept nothing any more, unless I can take the baton before you
	passed  kind = "passed"  // a connection that has said nothing yet
	clients kind = "clients" // how many I still have
)

// packet is one message, with descriptors beside it.
type packet struct {
	Kind    kind      `json:"kind"`
	Version int       `json:"version,omitempty"`
	Who     *Identity `json:"who,omitempty"`
	Offer   *Offer    `json:"offer,omitempty"`
	Taken   []bool    `json:"taken,omitempty"`  // of the offer's sockets, in their order
	Socket  int       `json:"socket,omitempty"` // where a passed connection was accepted, by that order
	Clients int       `json:"clients,omitempty"`
	Reason  string    `json:"reason,omitempty"`
}

// Identity is a process of a node.
type Identity struct {
	PID         int    `json:"pid"`
	Node        uint16 `json:"node"`
	Incarnation string `json:"incarnation"` // eight hexadecimal digits
	// Invocation is what systemd calls the run of a unit that the process belongs to; empty: none.
	Invocation string `json:"invocation,omitempty"`
}

// Offer is what a process has that another can take over.
type Offer struct {
	Who     Identity `json:"who"`
	Sockets []Socket `json:"sockets"`
	// Secrets judge the keys that it gave out, the present one first. Own is what it has for itself, where none is given
	// to all nodes.
	Secrets [][]byte `json:"secrets,omitempty"`
	Own     []byte   `json:"own,omitempty"`
	// Mock is what the salts of users are made from that there are not.
	Mock []byte `json:"mock,omitempty"`
	// Predecessors are the sockets of those it took over from itself, the latest first.
	Predecessors []string `json:"predecessors,omitempty"`
}

// write sends one packet. The descriptors stay the caller's.
func write(c *net.UnixConn, p packet, fds ...int) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if len(b) > maxPacket || len(fds) > maxRights {
		return fmt.Errorf("a packet of %d bytes and %d descriptors is too large", len(b), len(fds))
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.WriteMsgUnix(b, rights, nil)
	return err
}

// errCutOff: descriptors of a packet were lost, since this process has none free. What the packet says came whole.
var errCutOff = errors.New("no descriptor is free for what came with a packet")

// read takes the next packet. Its files are the caller's; with errCutOff there are none, and the next packet can be read.
func read(c *net.UnixConn) (packet, []*os.File, error) {
	b, oob := make([]byte, maxPacket+1), make([]byte, unix.CmsgSpace(4*maxRights))
	n, oobn, flags, _, err := c.ReadMsgUnix(b, oob)
	if err != nil {
		return packet{}, nil, err
	}
	files := received(oob[:oobn])
	var p packet
	err = json.Unmarshal(b[:n], &p)
	switch {
	case n > maxPacket || flags&unix.MSG_TRUNC != 0:
		err = errors.New("a packet came cut off")
	case err == nil && flags&unix.MSG_CTRUNC != 0:
		closeAll(files)
		return p, nil, errCutOff
	}
	if err != nil {
		closeAll(files)
		return packet{}, nil, err
	}
	return p, files, nil
}

// received makes files of the descriptors that came with a packet. They are closed on exec already.
func received(oob []byte) (files []*os.File) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "taken over"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// own tells whether the other side of c is a process of our user, and which.
func own(c *net.UnixConn) (pid int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var cred *unix.Ucred
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return 0, e
	}
	if err != nil {
		return 0, err
	}
	if int(cred.Uid) != os.Geteuid() {
		return 0, fmt.Errorf("process %d runs as user %d, this one as user %d: both must be the same", cred.Pid, cred.Uid, os.Geteuid())
	}
	return int(cred.Pid), nil
}

// longAgo as a deadline ends waits at once.
var longAgo = time.Unix(1, 0)
