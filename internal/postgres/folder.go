package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	folderPrefix = "cancello-"
	// longestSocketDir leaves room for "/.s.PGSQL.65535" in the 107 bytes of a Unix address.
	longestSocketDir = 90
	// lockGrace is how long a folder may exist before its lock is taken.
	lockGrace = time.Minute
)

// folder is where one cluster lives. Its lock is held as long as this process lives, so that the next one can tell
// a folder in use from one left behind by a kill.
type folder struct {
	path string
	lock *os.File
}

func (f folder) data() string   { return filepath.Join(f.path, "data") }
func (f folder) socket() string { return filepath.Join(f.path, "socket") }
func (f folder) log() string    { return filepath.Join(f.path, "log") }

// folderRoot is a temporary folder that the account can enter: CANCELLO_TMP if that is set, a short path then.
func folderRoot(who account) string {
	if root := os.Getenv("CANCELLO_TMP"); root != "" {
		return root
	}
	if who.drop {
		return "/var/tmp" // TMPDIR of root is often 0700
	}
	root := os.TempDir()
	if len(root)+len("/"+folderPrefix+"0123456789/socket") > longestSocketDir {
		return "/tmp"
	}
	return root
}

// newFolder makes a folder with an empty place for the socket; data and log come later.
func newFolder(who account) (*folder, error) {
	root := folderRoot(who)
	sweep(root)
	path, err := os.MkdirTemp(root, folderPrefix)
	if err != nil {
		return nil, err
	}
	f := &folder{path: path}
	if err := f.open(who); err != nil {
		f.remove()
		return nil, err
	}
	return f, nil
}

func (f *folder) open(who account) error {
	// The account passes through to data and socket, and lists nothing.
	if err := os.Chmod(f.path, 0o711); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(f.path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return who.makeDir(f.socket(), 0o755)
}

// remove removes the folder and all in it.
func (f *folder) remove() error {
	releaseSegment(f.data())
	err := os.RemoveAll(f.path)
	if f.lock != nil {
		f.lock.Close()
	}
	return err
}

// sweep removes folders of ours that a killed process left behind. It is a courtesy: what it can't do, it leaves.
func sweep(root string) {
	paths, _ := filepath.Glob(filepath.Join(root, folderPrefix+"*")) // an error: a root with a pattern in its name
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		// The root is open to everybody: another's folder is none of our business.
		if stat, ok := info.Sys().(*syscall.Stat_t); !ok || int(stat.Uid) != os.Geteuid() {
			continue
		}
		f := folder{path: path}
		if f.abandoned() {
			f.remove() // a failure leaves it to the next sweep
		}
	}
}

// abandoned says whether nobody uses the folder, and then holds its lock.
func (f *folder) abandoned() bool {
	lock, err := os.OpenFile(filepath.Join(f.path, "lock"), os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	info, err := lock.Stat()
	if err == nil && time.Since(info.ModTime()) > lockGrace && unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && !f.alive() {
		f.lock = lock
		return true
	}
	lock.Close()
	return false
}

// alive says whether a server still runs on the folder.
func (f *folder) alive() bool {
	lines := readPidFile(f.data())
	if len(lines) == 0 {
		return false
	}
	args, err := os.ReadFile("/proc/" + lines[0] + "/cmdline")
	return err == nil && strings.Contains(string(args), f.data())
}

// readPidFile reads postmaster.pid, one field a line: pid, data folder, start time, port, socket folder, listen
// address, shared memory, status. Empty where there is none.
func readPidFile(data string) []string {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return nil
	}
	lines := strings.Split(string(b), "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}

// releaseSegment frees the System V segment that a killed server leaves; one that stopped has removed the file
// that names it.
func releaseSegment(data string) {
	lines := readPidFile(data)
	if len(lines) < 7 {
		return
	}
	fields := strings.Fields(lines[6]) // key, id
	if len(fields) != 2 {
		return
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		return
	}
	var desc unix.SysvShmDesc
	if _, err := unix.SysvShmCtl(id, unix.IPC_STAT, &desc); err != nil || desc.Nattch != 0 {
		return
	}
	// A failure means somebody else's: it is not ours to free.
	_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
}
