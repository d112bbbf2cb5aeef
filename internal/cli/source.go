package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"cancello/internal/config"
)

// source is where a configuration comes from: a file, if one is given, and the flags, which go before it. It can be read
// again and again.
type source struct {
	path  string // empty: flags alone
	flags *serveFlags
	given func(flag string) bool
}

// load makes the configuration of what is there now. Errors in flags alone are those of the command line; those in a file,
// or with one, are not.
func (s source) load() (config.Config, error) {
	c := config.Default()
	file := &config.File{}
	if s.path != "" {
		var err error
		if file, err = readConfig(s.path); err != nil {
			return c, ran(err)
		}
		c = file.Config
	}
	if err := s.override(&c); err != nil {
		return c, err
	}
	err := file.Locate(config.Validate(&c))
	if s.path != "" {
		err = ran(err)
	}
	return c, err
}

// readConfig reads a file. A relative path in it begins at the file's own folder.
func readConfig(path string) (*config.File, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		var perr *fs.PathError
		if errors.As(err, &perr) {
			err = perr.Err
		}
		return nil, fmt.Errorf("cannot read the configuration file %s: %w", path, err)
	}
	file, err := config.Parse(path, b)
	if err != nil {
		return nil, err
	}
	for _, named := range file.Config.Files() {
		if !filepath.IsAbs(*named) {
			*named = filepath.Join(filepath.Dir(path), *named)
		}
	}
	return file, nil
}

// override puts the flags before what the file says.
func (s source) override(c *config.Config) error {
	f := s.flags
	if s.path == "" && len(f.upstreams) == 0 {
		return errors.New(`--upstream is needed, or a configuration file: give the PostgreSQL to speak to, as --upstream "postgres://USER@HOST:PORT/DB"`)
	}
	if err := f.databases(c); err != nil {
		return err
	}
	if s.given("listen") {
		c.Listen = f.listen
	} else if len(c.Listen) == 0 {
		c.Listen = []string{config.DefaultListen}
	}
	for _, kv := range f.set {
		key, value, ok := strings.Cut(kv, "=")
		if !ok {
			return fmt.Errorf("--set %s: give it as KEY=VALUE", kv)
		}
		if err := config.Set(c, key, value); err != nil {
			return fmt.Errorf("--set: %w", err)
		}
	}
	for _, own := range []struct{ flag, value string }{
		{"pool-mode", f.poolMode}, {"pool-size", strconv.Itoa(f.poolSize)}, {"auth", f.auth}, {"auth-file", f.authFile},
		{"http", f.http}, {"log-format", f.logFormat}, {"allow-remote-trust", strconv.FormatBool(f.allowRemoteTrust)},
	} {
		if !s.given(own.flag) {
			continue
		}
		if err := config.SetFlag(c, "--"+own.flag, own.value); err != nil {
			return err
		}
	}
	return nil
}

// databases puts each --upstream in the place of the file's entry of that name, if there is one.
func (f *serveFlags) databases(c *config.Config) error {
	inFile := len(c.Databases)
	for _, dsn := range f.upstreams {
		d, err := config.ParseDSN(dsn)
		if err != nil {
			return fmt.Errorf("--upstream: %w", err)
		}
		// One that is given twice on the command line is left to be refused.
		if i := slices.IndexFunc(c.Databases[:inFile], func(e config.Database) bool { return e.Name == d.Name }); i >= 0 {
			c.Databases = slices.Delete(c.Databases, i, i+1)
			inFile--
		}
		c.Databases = append(c.Databases, d)
	}
	return nil
}
