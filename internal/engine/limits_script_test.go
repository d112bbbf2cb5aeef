package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"cancello/internal/config"
)

// bounds are the settings of a script that bound pools and the lives of servers:
//
//	[min=N] [reserve=N] [reserve-after=D] [max-db=N] [max-user=N] [max-db-clients=N] [max-user-clients=N] [life=D] [login-retry=D]
//	[check=(SQL)] [check-delay=D] [reset=(SQL)] [reset-always] [round-robin] [fast-close]
//
// There is no server_check_query unless it is given.
func limits(t *testing.T, td *datadriven.TestData, cfg *config.Config) {
	l, p, w := &cfg.Pool.Bounds, &cfg.Pool, &cfg.Timeouts
	for name, n := range map[string]*int{
		"min": &l.MinSize, "reserve": &l.ReserveSize, "max-db": &l.DBServers, "max-user": &l.UserServers,
		"max-db-clients": &l.DBClients, "max-user-clients": &l.UserClients,
	} {
		td.MaybeScanArgs(t, name, n)
	}
	for name, d := range map[string]*time.Duration{
		"reserve-after": &w.Reserve, "life": &w.ServerLife, "login-retry": &w.LoginRetry, "check-delay": &p.Check.Delay,
	} {
		var s string
		if td.MaybeScanArgs(t, name, &s); s != "" {
			*d = duration(t, s)
		}
	}
	p.Check.Query = ""
	for name, sql := range map[string]*string{"check": &p.Check.Query, "reset": &p.Reset.Query} {
		for _, arg := range td.CmdArgs {
			if arg.Key == name {
				*sql = strings.Join(arg.Vals, ", ")
			}
		}
	}
	p.Reset.Always, p.RoundRobin, p.FastClose = td.HasArg("reset-always"), td.HasArg("round-robin"), td.HasArg("fast-close")
}
