package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// initdb makes a data folder. Everybody it knows is trusted: pg_hba.conf is written anew for each cluster.
func initdb(ctx context.Context, in Install, who account, data string) error {
	if err := who.makeDir(data, 0o700); err != nil {
		return err
	}
	_, err := run(command(ctx, who, "/", filepath.Join(in.BinDir, "initdb"), "--pgdata="+data, "--username=postgres",
		"--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"))
	return err
}

// fillFromTemplate makes a data folder by copying one that initdb made before, at most once for each version and
// account. Where the cache can't be written, initdb runs as if there was none.
func fillFromTemplate(ctx context.Context, in Install, who account, data string) error {
	template, err := openTemplate(ctx, in, who)
	if errors.Is(err, errNoCache) {
		return initdb(ctx, in, who, data)
	}
	if err != nil {
		return err
	}
	return copyTree(who, template, data)
}

// errNoCache: there is no cache that we can write to.
var errNoCache = errors.New("no cache")

func openTemplate(ctx context.Context, in Install, who account) (string, error) {
	cache, err := openCacheDir()
	if err != nil {
		return "", errors.Join(errNoCache, err)
	}
	// Two packagings of one version may differ.
	build := sha256.Sum256([]byte(in.BinDir + "\x00" + in.Version))
	name := fmt.Sprintf("template-%d-%x-%s", in.Major, build[:4], who.name)
	path := filepath.Join(cache, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	lock, err := os.OpenFile(filepath.Join(cache, "."+name+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return "", errors.Join(errNoCache, err)
	}
	defer lock.Close()
	if err := flock(ctx, lock); err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fresh := filepath.Join(cache, "."+name+".new")
	if err := os.RemoveAll(fresh); err != nil { // of one that was killed; the lock is ours
		return "", err
	}
	if err := initdb(ctx, in, who, fresh); err != nil {
		return "", errors.Join(err, os.RemoveAll(fresh))
	}
	return path, os.Rename(fresh, path)
}

// flock waits for a lock that other processes take too.
func flock(ctx context.Context, file *os.File) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", file.Name(), ctx.Err())
		}
	}
}

// copyTree copies a stopped cluster's data folder, which holds folders and files only.
func copyTree(who account, from, to string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			return who.makeDir(target, 0o700)
		case entry.Type().IsRegular():
			return copyFile(who, path, target)
		}
		return fmt.Errorf("%s is neither a folder nor a file", path)
	})
}

func copyFile(who account, from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close(), who.own(to))
}
