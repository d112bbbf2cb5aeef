package test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"cancello/internal/pgtest"
	"cancello/internal/pgtest/fake"
)

// A cancel can be seen in three places, once in each and alike: its line in the log, its row in SHOW CANCELS, its count and
// its time in the metrics. Its key is in none of them.
func TestCancelIsSeen(t *testing.T) {
	c := pgtest.Start(t, 18)
	file := filepath.Join(t.TempDir(), "cancello.toml")
	if err := os.WriteFile(file, []byte("http = \"127.0.0.1:0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := startGate(t, gateOptions{upstreams: []string{upstream(c, "postgres", "postgres")}, mode: "transaction", size: 1, file: file})
	page := g.AwaitLog(`health and metrics on (http://\S+)`)[1] + "/metrics"
	var keys [][]byte
	join := func(version uint32) *joined {
		nc := fake.Dial(t, g.Addr())
		in := nc.Login(version, "user", "postgres", "database", "postgres")
		keys = append(keys, in.Key)
		return &joined{nc, in.PID, in.Key}
	}
	busy, waits, idle := join(fake.V30), join(fake.V32), join(fake.V32)
	forged := append([]byte(nil), idle.key...)
	forged[9] ^= 1
	keys = append(keys, forged)
	busy.Put(batch(sleeper))
	busy.Want("12nN")
	waits.Put(fake.Query("SELECT 1"))

	fake.SendCancel(t, g.Addr(), waits.pid, waits.key)
	g.outcome(t, 1, "unqueued")
	fake.SendCancel(t, g.Addr(), busy.pid, busy.key)
	g.outcome(t, 2, "cancelled")
	fake.SendCancel(t, g.Addr(), idle.pid, idle.key)
	g.outcome(t, 3, "idle")
	fake.SendCancel(t, g.Addr(), idle.pid, forged)
	g.outcome(t, 4, "forged")

	shown := pgtest.PSQL(t, pgtest.SystemLibpq, "-XA", "-P", "footer=off", "-d", g.DSN("postgres", "cancello"), "-c", "SHOW CANCELS")
	rows := strings.Split(strings.TrimSpace(shown.Stdout), "\n")
	if want := "time|addr|port|node|database|user|client|unit|kind|outcome|sends|ms|reason|cause|via|there"; rows[0] != want || len(rows) != 5 {
		t.Fatalf("SHOW CANCELS says\n%s%s", shown.Stdout, shown.Stderr)
	}
	const from = `20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC\|127\.0\.0\.1\|\d+\|`
	for i, want := range []string{ // the latest first
		`\|\|\|0\|\|\|forged\|0\|[\d.]+\|\|\|\|`,
		fmt.Sprintf(`0\|postgres\|postgres\|%d\|\|\|idle\|0\|[\d.]+\|\|\|\|`, idle.pid),
		fmt.Sprintf(`0\|postgres\|postgres\|%d\|1\|batch\|cancelled\|1\|[\d.]+\|\|\|\|`, busy.pid),
		fmt.Sprintf(`0\|postgres\|postgres\|%d\|1\|query\|unqueued\|0\|[\d.]+\|\|\|\|`, waits.pid),
	} {
		if !regexp.MustCompile("^" + from + want + "$").MatchString(rows[1+i]) {
			t.Errorf("row %d of SHOW CANCELS is %s", i, rows[1+i])
		}
	}

	metrics := read(t, page)
	for _, outcome := range []string{"unqueued", "cancelled", "idle", "forged"} {
		for _, line := range []string{
			`cancello_cancels_total{outcome="` + outcome + `"} 1`,
			`cancello_cancel_duration_seconds_count{outcome="` + outcome + `"} 1`,
			`cancello_cancel_duration_seconds_bucket{outcome="` + outcome + `",le="+Inf"} 1`,
		} {
			if !strings.Contains(metrics, "\n"+line+"\n") {
				t.Errorf("the metrics have no %s", line)
			}
		}
	}
	for _, k := range keys {
		for _, form := range []string{string(k), hex.EncodeToString(k), base64.StdEncoding.EncodeToString(k), fmt.Sprint(k)} {
			if where := g.Log() + shown.Stdout + metrics; strings.Contains(where, form) || strings.Contains(where, strings.ToUpper(form)) {
				t.Error("a cancel key can be seen")
			}
		}
	}
}

// read is what an HTTP server answers.
func read(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(within(t), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, response.Status, err)
	}
	return string(body)
}
