package key

import (
	"bytes"
	"encoding/hex"
	"testing"

	"cancello/internal/wire"
)

var (
	testIncarnation = [4]byte{0xde, 0xad, 0xbe, 0xef}
	testSecret      = []byte("the secret of the whole cluster!")
	testRandom      = [12]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
)

func testMinter() *Minter { return NewMinter(5, testIncarnation, testSecret) }

// The long vector was made with Python's hmac module, so that it is a witness of the layout and not of this code.
func TestMintGolden(t *testing.T) {
	for _, c := range []struct {
		name string
		v    wire.Version
		key  string
	}{
		{"3.0", wire.V30, "01020304"},
		{"3.2", wire.V32, "01340005deadbeef010203040506070872d693d596962e7ce241c1d5bef74df1"},
	} {
		pid, key := testMinter().Mint(c.v, 7, testRandom)
		if pid != 0x40500007 {
			t.Errorf("%s: pid %#x", c.name, pid)
		}
		if got := hex.EncodeToString(key); got != c.key {
			t.Errorf("%s: key %s, want %s", c.name, got, c.key)
		}
	}
}

func TestMintTakesFreshRandom(t *testing.T) {
	other := testRandom
	other[0] ^= 1
	for _, v := range []wire.Version{wire.V30, wire.V32} {
		_, a := testMinter().Mint(v, 7, testRandom)
		_, b := testMinter().Mint(v, 7, other)
		if Equal(a, b) {
			t.Errorf("%x: two uses of a slot got the same key", uint32(v))
		}
	}
}

func TestCheck(t *testing.T) {
	m := testMinter()
	pid, long := m.Mint(wire.V32, 7, testRandom)
	_, plain := m.Mint(wire.V30, 7, testRandom)
	mint := func(node uint16, inc [4]byte, secret []byte) (uint32, []byte) {
		return NewMinter(node, inc, secret).Mint(wire.V32, 7, testRandom)
	}
	nodePID, nodeKey := mint(6, testIncarnation, testSecret)
	_, earlier := mint(5, [4]byte{1}, testSecret)
	_, stranger := mint(5, testIncarnation, []byte("another secret"))
	_, nodeStranger := mint(6, testIncarnation, []byte("another secret"))
	for _, c := range []struct {
		name string
		pid  uint32
		key  []byte
		want Verdict
	}{
		{"own long key", pid, long, Genuine},
		{"own plain key", pid, plain, Plain},
		{"plain key of anybody", 1, []byte{9, 9, 9, 9}, Plain},
		{"another slot's pid", pid + 1, long, Forged},
		{"another node's pid", nodePID, long, Forged},
		{"plain key of another node", nodePID, plain, PlainForeign},
		{"another node's key under another secret", nodePID, nodeStranger, Forged},
		{"pid with bit 31", pid | 1<<31, long, Forged},
		{"another node's key", nodePID, nodeKey, Foreign},
		{"key of an earlier process", pid, earlier, Former},
		{"key under another secret", pid, stranger, Forged},
		{"32 zeros", pid, make([]byte, 32), Forged},
		{"no key", pid, nil, Malformed},
		{"cut short", pid, long[:31], Malformed},
		{"one byte more", pid, append(bytes.Clone(long), 0), Malformed},
		{"longest allowed", pid, make([]byte, 256), Malformed},
	} {
		if got := m.Check(c.pid, c.key); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestEveryFlippedBitIsForged(t *testing.T) {
	m := testMinter()
	pid, key := m.Mint(wire.V32, 7, testRandom)
	for bit := range len(key) * 8 {
		flipped := bytes.Clone(key)
		flipped[bit/8] ^= 1 << (bit % 8)
		if got := m.Check(pid, flipped); got != Forged {
			t.Errorf("bit %d of the key: %v", bit, got)
		}
	}
	for bit := range 32 {
		if got := m.Check(pid^1<<bit, key); got != Forged {
			t.Errorf("bit %d of the pid: %v", bit, got)
		}
	}
}

func TestSecretIsCopied(t *testing.T) {
	secret := bytes.Clone(testSecret)
	m := NewMinter(5, testIncarnation, secret)
	pid, key := m.Mint(wire.V32, 7, testRandom)
	clear(secret)
	if got := m.Check(pid, key); got != Genuine {
		t.Errorf("after the caller wiped its secret: %v", got)
	}
}

// The secret is changed node by node: keys under the former one hold where it is still known, and what is minted is
// minted under the new one, whatever the order in which the nodes change.
func TestTwoSecrets(t *testing.T) {
	before, after := testSecret, []byte("what comes after that secret ...")
	third := []byte("and a third one that is not ours")
	old := NewMinter(5, testIncarnation, before)
	changed := old.Under(after, before)
	done := changed.Under(after)
	for _, c := range []struct {
		name          string
		mints, judges *Minter
		want          Verdict
	}{
		{"the former secret's key, both known", old, changed, Genuine},
		{"the new secret's key, both known", changed, changed, Genuine},
		{"the new secret's key, the former forgotten", changed, done, Genuine},
		{"the former secret's key, it is forgotten", old, done, Forged},
		{"the new secret's key, not known yet", changed, old, Forged},
		{"a third one's", old.Under(third), changed, Forged},
	} {
		pid, key := c.mints.Mint(wire.V32, 7, testRandom)
		if got := c.judges.Check(pid, key); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Secrets that have the same key id are both tried: one in 256 pairs is like that.
func TestSecretsWithOneKeyID(t *testing.T) {
	other := bytes.Clone(testSecret)
	for n := byte(0); keyID(other) != keyID(testSecret) || bytes.Equal(other, testSecret); n++ {
		if other[0] = n; n == 255 {
			other[1]++
		}
	}
	m := NewMinter(5, testIncarnation, testSecret, other)
	for _, s := range [][]byte{testSecret, other} {
		if got := m.Check(m.Under(s).Mint(wire.V32, 7, testRandom)); got != Genuine {
			t.Errorf("%v", got)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b []byte
		want bool
	}{
		{"same", []byte{1, 2, 3, 4}, []byte{1, 2, 3, 4}, true},
		{"last byte differs", []byte{1, 2, 3, 4}, []byte{1, 2, 3, 5}, false},
		{"prefix", []byte{1, 2, 3, 4, 5}, []byte{1, 2, 3, 4}, false},
		{"none", nil, nil, false},
		{"too short", []byte{1, 2, 3}, []byte{1, 2, 3}, false},
	} {
		if got := Equal(c.a, c.b); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// FuzzCheck knows the only genuine keys there can be: those minted for that very pid.
func FuzzCheck(f *testing.F) {
	m := testMinter()
	pid, long := m.Mint(wire.V32, 7, testRandom)
	f.Add(pid, long)
	f.Add(pid, long[:4])
	f.Add(pid+1, long)
	f.Add(uint32(0), []byte(nil))
	f.Add(pid, make([]byte, 32))
	f.Fuzz(func(t *testing.T, pid uint32, key []byte) {
		before := bytes.Clone(key)
		switch got := m.Check(pid, key); got {
		case Plain, PlainForeign:
			if node, _, ok := Split(pid); len(key) != 4 || (got == PlainForeign) != (ok && node != 5) {
				t.Fatalf("%d bytes for %#x are %v", len(key), pid, got)
			}
		case Malformed:
			if len(key) == 4 || len(key) == 32 {
				t.Fatalf("%d bytes are malformed", len(key))
			}
		case Forged:
			if len(key) != 32 {
				t.Fatalf("%d bytes are forged", len(key))
			}
		case Genuine:
			_, slot, ok := Split(pid)
			if !ok {
				t.Fatalf("genuine for pid %#x", pid)
			}
			var random [12]byte
			copy(random[:], key[8:])
			if wantPID, want := m.Mint(wire.V32, slot, random); wantPID != pid || !bytes.Equal(key, want) {
				t.Fatalf("genuine, but never minted: %#x", pid)
			}
		default:
			t.Fatalf("%v without the secret", got)
		}
		if !bytes.Equal(before, key) {
			t.Fatal("Check wrote to the key")
		}
	})
}
