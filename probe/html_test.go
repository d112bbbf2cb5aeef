package probe

import (
	"bytes"
	"context"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// sampleOf is a report with every verdict, and with texts that try to be more than text.
func sampleOf(address string, turn int) Report {
	r := Report{
		About: About{Address: address, User: "ann", Database: "<b>db</b>", ServerVersion: "18.4", Major: 18},
		Began: time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC), Took: 41 * time.Second,
	}
	for i, c := range Cases() {
		f := Finding{
			ID: c.ID, Group: c.Group, Title: c.Title, Source: c.Source, Expected: c.Expected, Means: c.Means,
			Verdict: Verdicts()[(i+turn)%len(Verdicts())], Seen: `FATAL 08P01 "<script>document.title='taken'</script>"`,
			Evidence: []Exchange{{Connection: 1, AtMS: 3, Direction: Received, Bytes: 9, Hex: strings.Repeat("5a000000", 40), Decoded: "<i>ReadyForQuery</i>"}},
		}
		if i == 5 {
			f.Known = "as documented & accepted"
		}
		r.Findings = append(r.Findings, f)
	}
	return r
}

// pages are a report and a comparison.
func pages(t *testing.T) map[string][]byte {
	t.Helper()
	var one, two bytes.Buffer
	if err := WriteHTML(&one, sampleOf("db.example.com:5432", 0)); err != nil {
		t.Fatal(err)
	}
	if err := WriteCompareHTML(&two, Comparison{A: sampleOf("pooler.example.com:6432", 1), B: sampleOf("db.example.com:5432", 0)}); err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"report": one.Bytes(), "comparison": two.Bytes()}
}

var outside = regexp.MustCompile(`(?i)(src|href|url)\s*[=(]\s*["']?\s*(https?:|//|[a-z]+/)`)

// TestPage: every case is there under its own anchor, what a server said stays text, and nothing is loaded from anywhere.
func TestPage(t *testing.T) {
	for name, p := range pages(t) {
		text := string(p)
		for _, c := range Cases() {
			if n := strings.Count(text, ` id="`+c.ID+`"`); n != 1 {
				t.Errorf("%s: %d anchors for %s", name, n, c.ID)
			}
			if !strings.Contains(text, `href="#`+c.ID+`"`) {
				t.Errorf("%s: no link to %s", name, c.ID)
			}
		}
		if strings.Contains(text, "<script>document") || strings.Contains(text, "<b>db") || strings.Contains(text, "<i>Ready") {
			t.Errorf("%s: what a server said became part of the page", name)
		}
		if m := outside.FindString(text); m != "" {
			t.Errorf("%s loads something: %s", name, m)
		}
		if strings.Contains(text, "<no value>") || strings.Contains(text, "ZgotmplZ") {
			t.Errorf("%s: a hole in the page", name)
		}
	}
}

// chromium is a browser to look with. Where it is missing the test says so and is skipped, but not in CI.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("missing: chromium (make pg installs it)")
	}
	t.Skip("missing: chromium (Debian: chromium)")
	return ""
}

// browse runs the browser once.
func browse(t *testing.T, browser string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args = append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--hide-scrollbars", "--user-data-dir=" + t.TempDir(),
	}, args...)
	cmd := exec.CommandContext(ctx, browser, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", browser, err, stderr.String())
	}
	return string(out)
}

// frame shows a page as a phone does, 390 pixels wide, and writes down what the browser made of it.
const frame = `<!doctype html><body style="margin:0"><iframe src="/%s#cancel.query" style="border:0;width:390px;height:1600px"
onload="var d=this.contentDocument; document.title='width '+d.documentElement.scrollWidth+', open '+d.getElementById('cancel.query').open+', title '+d.title"></iframe>`

// TestBrowser: a browser shows the pages, on a phone without scrolling sideways, a link opens its case, and nothing but
// the page itself is asked for. With CANCELLO_SHOTS set to a folder the pictures stay there, to be looked at.
func TestBrowser(t *testing.T) {
	t.Parallel()
	browser := chromium(t)
	all := pages(t)
	var mu sync.Mutex
	var strange []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if phone, ok := strings.CutPrefix(name, "phone-"); ok {
			fmt.Fprintf(w, frame, phone)
			return
		}
		if all[name] == nil && name != "favicon.ico" { // the frame's own
			mu.Lock()
			strange = append(strange, r.URL.Path)
			mu.Unlock()
		}
		_, _ = w.Write(all[name])
	}))
	defer server.Close()
	dir := os.Getenv("CANCELLO_SHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	for name := range all {
		for _, shot := range []struct {
			path, size string
			width      int
		}{{name, "1200,1600", 1200}, {"phone-" + name, "500,1600", 500}} {
			file := filepath.Join(dir, shot.path+".png")
			browse(t, browser, "--window-size="+shot.size, "--screenshot="+file, server.URL+"/"+shot.path)
			checkPicture(t, file, shot.width)
		}
		dom := browse(t, browser, "--window-size=500,1600", "--dump-dom", server.URL+"/phone-"+name)
		if want := "<title>width 390, open true, title cancello check: "; !strings.Contains(dom, want) {
			t.Errorf("%s: want %q in\n%s", name, want, dom)
		}
	}
	if len(strange) > 0 {
		t.Errorf("the pages ask for %q", strange)
	}
}

// checkPicture: there is something on it.
func checkPicture(t *testing.T, file string, width int) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	size := picture.Bounds().Size()
	colours := map[[3]uint32]int{}
	for y := 0; y < size.Y; y += 3 {
		for x := 0; x < size.X; x += 3 {
			r, g, b, _ := picture.At(x, y).RGBA()
			colours[[3]uint32{r, g, b}]++
		}
	}
	if size.X != width || len(colours) < 50 {
		t.Errorf("%s: %v with %d colours: a page with text has more", filepath.Base(file), size, len(colours))
	}
}
