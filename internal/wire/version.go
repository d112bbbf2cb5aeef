package wire

import "strconv"

// Version is a protocol version as in the startup packet: the major in the high 16 bits, the minor in the low.
type Version uint32

const (
	// V30 is spoken by every PostgreSQL since 7.4.
	V30 Version = 0x00030000
	// V32 came with PostgreSQL 18. It differs from V30 only in the length of the cancel key.
	V32 Version = 0x00030002
)

// The request codes that stand in a version's place (pqcomm.h). Their major, 1234, never was a version.
const (
	codeCancel Version = 1234<<16 | 5678
	codeSSL    Version = 1234<<16 | 5679
	codeGSSENC Version = 1234<<16 | 5680
)

// Major is 3 in every version that is spoken today.
func (v Version) Major() uint16 { return uint16(v >> 16) }

// Minor is the part that may be negotiated down.
func (v Version) Minor() uint16 { return uint16(v) }

// String is the form used in messages for people: "3.2".
func (v Version) String() string {
	return strconv.Itoa(int(v.Major())) + "." + strconv.Itoa(int(v.Minor()))
}
