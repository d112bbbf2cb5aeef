package postgres

import (
	"errors"
	"os"
	"path/filepath"
)

// CacheDir is where downloads and templates are kept: $CANCELLO_CACHE, else /var/cache/cancello for root (whose
// home the account that runs the server can't enter), else the user's cache folder. scripts/fetch-postgres knows
// the same rule. The folder need not exist.
func CacheDir() (string, error) {
	if dir := os.Getenv("CANCELLO_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/cache/cancello", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", errors.New("no cache folder: set HOME, XDG_CACHE_HOME or CANCELLO_CACHE")
	}
	return filepath.Join(dir, "cancello"), nil
}

// openCacheDir makes the cache folder if need be, enterable by everybody.
func openCacheDir() (string, error) {
	dir, err := CacheDir()
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}
