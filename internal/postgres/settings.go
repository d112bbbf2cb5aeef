package postgres

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Auth is how clients prove over TCP who they are.
type Auth string

// The methods, in pg_hba.conf's words. The zero value is Trust.
const (
	Trust    Auth = "trust"
	Password Auth = "password"
	MD5      Auth = "md5"
	SCRAM    Auth = "scram-sha-256"
)

// hba is pg_hba.conf for a method. The Unix socket is always trusted: over it roles and passwords are made.
func hba(auth Auth) (string, error) {
	if auth == "" {
		auth = Trust
	}
	if !slices.Contains([]Auth{Trust, Password, MD5, SCRAM}, auth) {
		return "", fmt.Errorf("authentication %q: want trust, password, md5 or scram-sha-256", auth)
	}
	return fmt.Sprintf(`local all all trust
local replication all trust
host all all all %[1]s
host replication all all %[1]s
`, auth), nil
}

// baseline is what every cluster is set to before the caller's settings.
func baseline(auth Auth) map[string]string {
	base := map[string]string{
		"fsync": "off",
		// In the data folder, not in /dev/shm: a kill leaves nothing behind, and a container's may be small.
		"dynamic_shared_memory_type": "mmap",
		"logging_collector":          "off",
		"log_destination":            "stderr",
		"log_line_prefix":            "%m [%p] %q%u@%d ",
		"lc_messages":                "C",
	}
	if auth == MD5 {
		base["password_encryption"] = "md5"
	}
	return base
}

var settingName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)

// conf writes settings as postgresql.conf has them, sorted by name.
func conf(settings map[string]string) (string, error) {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		value := settings[name]
		if !settingName.MatchString(name) {
			return "", fmt.Errorf("setting %q: not a name", name)
		}
		if strings.ContainsAny(value, "\n\r\x00") {
			return "", fmt.Errorf("setting %s: postgresql.conf holds no value with a line end", name)
		}
		fmt.Fprintf(&out, "%s = '%s'\n", name, strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(value))
	}
	return out.String(), nil
}

// configure writes postgresql.conf's end and pg_hba.conf. initdb's own postgresql.conf stays before it: of two
// lines for one setting the last holds.
func configure(who account, data string, o Options) error {
	rules := o.HBA
	if rules == "" {
		var err error
		if rules, err = hba(o.Auth); err != nil {
			return err
		}
	}
	settings := baseline(o.Auth)
	maps.Copy(settings, o.Settings)
	lines, err := conf(settings)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString("\n" + lines)
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	files := map[string][]byte{"pg_hba.conf": []byte(rules)}
	maps.Copy(files, o.Files)
	for name, content := range files {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
		if err := who.own(path); err != nil {
			return err
		}
	}
	return nil
}
