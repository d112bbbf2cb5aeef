package sim

import (
	"encoding/binary"
	"flag"
	"os"
	"testing"

	"cancello/internal/config"
	"cancello/internal/engine"
	"cancello/internal/key"
)

var (
	seedFlag  = flag.Int64("seed", -1, "replay this one seed with a trace")
	seedsFlag = flag.Int("seeds", 2000, "how many seeds")
	fromFlag  = flag.Uint64("from", 0, "the first seed")
)

// production makes the engine as the program does, but for the secrets, which come from the seed.
func production(bug engine.Bug) func(config.Config, engine.Outside, uint64) Machine {
	return func(cfg config.Config, out engine.Outside, seed uint64) Machine {
		secret := binary.BigEndian.AppendUint64([]byte("a secret of thirty-two bytes..."), seed)
		e := engine.New(cfg, out, key.NewMinter(uint16(seed%1024), [4]byte{1, 2, 3, byte(seed)}, secret))
		e.Sabotage(bug)
		return e
	}
}

// TestSim runs the production engine through worlds drawn from seeds.
func TestSim(t *testing.T) {
	o := Options{Machine: production(engine.NoBug)}
	if *seedFlag >= 0 {
		o.Trace = os.Stdout
		s := sums{}
		s.add(t, "TestSim", run(uint64(*seedFlag), o))
		s.log(t)
		return
	}
	s := sums{}
	for i := range uint64(*seedsFlag) {
		s.add(t, "TestSim", run(*fromFlag+i, o))
	}
	s.log(t)
}
