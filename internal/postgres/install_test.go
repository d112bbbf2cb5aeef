package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fake makes a folder with something that answers --version.
func fake(t *testing.T, version string) string {
	t.Helper()
	dir, err := os.MkdirTemp(folderRoot(mustAccount(t)), "cancello-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "initdb"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho '"+version+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFindByVariable(t *testing.T) {
	t.Setenv("CANCELLO_CACHE", t.TempDir())
	eleven := fake(t, "postgres (PostgreSQL) 11.22")
	twelve := fake(t, "postgres (PostgreSQL) 12beta1 (Debian 12~beta1)")

	t.Setenv("CANCELLO_PG_BIN", eleven)
	if in, err := Find(0); err != nil || in.Major != 11 || in.Version != "11.22" || in.BinDir != eleven {
		t.Errorf("any: %+v, %v", in, err)
	}
	if in, err := Find(11); err != nil || in.BinDir != eleven {
		t.Errorf("11: %+v, %v", in, err)
	}
	if in, err := Find(12); err == nil {
		t.Errorf("12: %+v", in)
	}
	t.Setenv("CANCELLO_PG12_BIN", twelve)
	if in, err := Find(12); err != nil || in.Major != 12 || in.Version != "12beta1 (Debian 12~beta1)" {
		t.Errorf("12: %+v, %v", in, err)
	}
	t.Setenv("CANCELLO_PG12_BIN", eleven)
	if in, err := Find(12); err == nil || !strings.Contains(err.Error(), "it is PostgreSQL 11.22") {
		t.Errorf("12 in the folder of 11: %+v, %v", in, err)
	}
	t.Setenv("CANCELLO_PG_BIN", t.TempDir())
	if in, err := Find(0); err == nil || !strings.Contains(err.Error(), "CANCELLO_PG_BIN=") {
		t.Errorf("an empty folder: %+v, %v", in, err)
	}
}

func TestFindOnPathAndInCache(t *testing.T) {
	twelve := fake(t, "postgres (PostgreSQL) 12.1")
	cache := fake(t, "")
	t.Setenv("CANCELLO_CACHE", cache)
	bin := filepath.Join(cache, "postgres-99.1", "native", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{filepath.Dir(bin), filepath.Dir(filepath.Dir(bin))} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(fake(t, "postgres (PostgreSQL) 99.1"), bin+"-"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(bin); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(bin+"-", bin); err != nil {
		t.Fatal(err)
	}
	links := t.TempDir()
	if err := os.Symlink(filepath.Join(twelve, "postgres"), filepath.Join(links, "postgres")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links+":"+os.Getenv("PATH"))
	if in, err := Find(12); err != nil || in.BinDir != twelve {
		t.Errorf("12 by a link on PATH: %+v, %v", in, err)
	}
	if in, err := Find(99); err != nil || in.BinDir != bin {
		t.Errorf("99 in the cache: %+v, %v", in, err)
	}
	if in, err := Find(0); err != nil || in.Major != 99 {
		t.Errorf("any, the newest: %+v, %v", in, err)
	}
}

// The error is one line that says what to do.
func TestFindNothing(t *testing.T) {
	t.Setenv("CANCELLO_CACHE", t.TempDir())
	_, err := Find(3)
	if err == nil {
		t.Fatal("found PostgreSQL 3")
	}
	for _, want := range []string{"PostgreSQL 3", "make pg", "CANCELLO_PG3_BIN"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("%q has more than one line", err)
	}
}

func TestConfQuotes(t *testing.T) {
	got, err := conf(map[string]string{"b": `x'y\z`, "a.c": ""})
	if want := "a.c = ''\nb = 'x''y\\\\z'\n"; got != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}
