package relay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"cancello/internal/event"
)

// A message on a link: its length (2 bytes, of what follows), its kind (1 byte), its fields in order. Numbers are big endian,
// times nanoseconds in 8 bytes, texts and keys one byte of length and so many bytes.

// HeaderLen is how many bytes tell a message's length.
const HeaderLen = 2

// maxMessage is the longest message, header and all: 256 bytes of key and five texts would be more, so texts are cut.
const maxMessage = 1024

// Longest texts, in bytes; what is longer is cut when it is said.
const (
	maxKey    = 255 // at least what a CancelRequest can have of ours
	maxText   = 128
	maxReason = 255
)

// BodyLen is how many bytes follow a header, which is HeaderLen bytes long. A length that no message can have is an error: the link is
// no good any more.
func BodyLen(header []byte) (int, error) {
	n := int(binary.BigEndian.Uint16(header))
	if n < 1 || n > maxMessage-HeaderLen {
		return 0, fmt.Errorf("a message of %d bytes, of at most %d", n, maxMessage-HeaderLen)
	}
	return n, nil
}

// Append appends m as it goes over a link. Texts that are too long are cut.
func Append(b []byte, m Message) []byte {
	start := len(b)
	b = append(b, 0, 0, m.kind())
	switch m := m.(type) {
	case Ping:
		b = appendTime(b, m.Sent)
	case Pong:
		b = appendTime(appendTime(b, m.Sent), m.Clock)
	case Ask:
		b = binary.BigEndian.AppendUint64(b, m.ID)
		b = binary.BigEndian.AppendUint64(b, m.Origin.Incarnation)
		b = binary.BigEndian.AppendUint64(b, m.Origin.ID)
		b = binary.BigEndian.AppendUint32(b, m.PID)
		b = appendText(b, string(m.Key), maxKey)
		b = appendTime(appendTime(appendTime(b, m.ReadAt), m.ReadBy), m.Left)
		b = appendText(b, m.Remote, maxText)
		b = append(b, bit(m.Local))
	case Released:
		b = binary.BigEndian.AppendUint64(b, m.ID)
	case Settled:
		b = binary.BigEndian.AppendUint64(b, m.ID)
		b = append(b, byte(m.Outcome))
		b = appendText(appendText(b, m.User, maxText), m.Database, maxText)
		b = binary.BigEndian.AppendUint64(b, m.Unit)
		b = appendText(b, m.Kind, maxText)
		b = append(b, byte(min(max(m.Sends, 0), math.MaxUint8)))
		b = appendTime(b, m.Took)
		b = appendText(b, m.Reason, maxReason)
	case Done:
		b = binary.BigEndian.AppendUint64(b, m.ID)
	}
	binary.BigEndian.PutUint16(b[start:], uint16(len(b)-start-HeaderLen))
	return b
}

func appendTime(b []byte, d time.Duration) []byte { return binary.BigEndian.AppendUint64(b, uint64(d)) }

func appendText(b []byte, s string, most int) []byte {
	s = cut(s, most)
	return append(append(b, byte(len(s))), s...)
}

// cut is the beginning of a text that is too long, with nothing that PostgreSQL's UTF8 or JSON refuses at its end.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "")
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

var (
	errShort = errors.New("a message ends in the middle of a field")
	errLong  = errors.New("a message is longer than its fields")
)

// Parse reads what follows a header. A kind that we don't know is no message and no error: a later version's. body is not
// kept.
func Parse(body []byte) (Message, error) {
	if len(body) == 0 {
		return nil, errShort
	}
	r := reader{rest: body[1:]}
	var m Message
	switch body[0] {
	case kindPing:
		m = Ping{r.time()}
	case kindPong:
		m = Pong{r.time(), r.time()}
	case kindAsk:
		a := Ask{ID: r.uint64(), Origin: Origin{r.uint64(), r.uint64()}}
		a.PID, a.Key = r.uint32(), []byte(r.text())
		a.ReadAt, a.ReadBy, a.Left = r.time(), r.time(), r.time()
		a.Remote, a.Local = r.text(), r.byte() == 1
		m = a
	case kindReleased:
		m = Released{r.uint64()}
	case kindSettled:
		s := Settled{ID: r.uint64(), Outcome: event.Outcome(r.byte())}
		s.User, s.Database, s.Unit, s.Kind = r.text(), r.text(), r.uint64(), r.text()
		s.Sends, s.Took, s.Reason = int(r.byte()), r.time(), r.text()
		if int(s.Outcome) >= event.Outcomes { // of a later version
			s.Outcome, s.Reason = event.Failed, "the owner tells an outcome that this version does not know"
		}
		m = s
	case kindDone:
		m = Done{r.uint64()}
	case kindLeaving:
		m = Leaving{}
	case kindYielded:
		m = Yielded{}
	default:
		return nil, nil
	}
	if r.short {
		return nil, errShort
	}
	if len(r.rest) > 0 {
		return nil, errLong
	}
	return m, nil
}

// reader takes fields off a message; short says that one was not whole, and what was read is worth nothing.
type reader struct {
	rest  []byte
	short bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.short, r.rest = true, nil
		return make([]byte, n)
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

func (r *reader) byte() byte          { return r.take(1)[0] }
func (r *reader) uint32() uint32      { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64      { return binary.BigEndian.Uint64(r.take(8)) }
func (r *reader) time() time.Duration { return time.Duration(r.uint64()) }
func (r *reader) text() string        { return string(r.take(int(r.byte()))) }
