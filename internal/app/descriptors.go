package app

import (
	"fmt"

	"cancello/internal/config"
	"cancello/internal/peer"
	"cancello/internal/proxy"

	"golang.org/x/sys/unix"
)

// Descriptors is how many open files a configuration needs: what it promises, and what is spare for cancels, logins,
// HTTP and files.
func Descriptors(c config.Config) uint64 {
	clients, servers := c.Connections()
	return uint64(clients) + uint64(servers) + proxy.Spare + peer.Descriptors(c.Peers)
}

// checkDescriptors raises this process's limit of open files as far as it may itself, and finds fault with one that is
// too low for what the configuration promises: then it would be cancels that are kept out some day.
func checkDescriptors(c config.Config) error { return enough(c, raiseLimit()) }

// enough compares a limit with what is needed; 0 is an unknown one.
func enough(c config.Config, limit uint64) error {
	need := Descriptors(c)
	if limit == 0 || limit >= need {
		return nil
	}
	clients, servers := c.Connections()
	links, ofLinks := peer.Descriptors(c.Peers), ""
	if links > 0 {
		ofLinks = fmt.Sprintf("%d for other nodes, ", links)
	}
	err := fmt.Errorf("the limit of open files is %d, and %d are needed: max_client_conn = %d, %d for the pools, %s%d for cancels, logins and files; "+
		"raise the limit (LimitNOFILE=%d in the systemd unit, `ulimit -n %d` in a shell, --ulimit nofile=%d for a container)",
		limit, need, clients, servers, ofLinks, proxy.Spare, need, need, need)
	if left := int64(limit) - int64(servers) - int64(links) - proxy.Spare; left > 0 {
		return fmt.Errorf("%w, or set max_client_conn = %d or lower", err, left)
	}
	return fmt.Errorf("%w, or lower max_client_conn and the pools", err)
}

// raiseLimit raises the soft limit of open files to the hard one and returns what holds then; 0 if nobody knows.
func raiseLimit() uint64 {
	var r unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &r) != nil {
		return 0
	}
	if r.Cur < r.Max {
		soft := r.Cur
		if r.Cur = r.Max; unix.Setrlimit(unix.RLIMIT_NOFILE, &r) != nil {
			return soft
		}
	}
	return r.Cur
}
