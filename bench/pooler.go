package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// pooler is somebody else's program that can stand where Cancello does.
type pooler struct {
	name     string
	variable string   // of the environment: names its program, which must be there then
	programs []string // under which it is looked for otherwise
	// command writes its files and says what it is called with. An error that is an unable says what it can't do here.
	command func(s *stage, port int, version string) (args []string, err error)
	note    string // what a reader of its figures must know
}

// unable is why a pooler is left out of a part.
type unable string

func (u unable) Error() string { return string(u) }

var pgBouncer = pooler{"pgbouncer", "PGBOUNCER", []string{"pgbouncer", "/usr/sbin/pgbouncer"}, pgbouncer, ""}

// poolers are those that are known, in the order of the tables.
var poolers = []pooler{
	pgBouncer,
	{"pgpool", "PGPOOL", []string{"pgpool", "/usr/sbin/pgpool"}, pgpool, "has a process and a server for each client"},
	{"odyssey", "ODYSSEY", []string{"odyssey", "/usr/sbin/odyssey"}, odyssey, "logs neither sessions nor queries nor statistics"},
	{"pgagroal", "PGAGROAL", []string{"pgagroal", "/usr/sbin/pgagroal"}, pgagroal, "leases a server for as long as its client stays, has one for each client, and logs nothing below a warning"},
}

// find says where a program is; empty where it isn't.
func (p pooler) find() (string, error) {
	if path := os.Getenv(p.variable); path != "" {
		found, err := exec.LookPath(path)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.variable, err)
		}
		return found, nil
	}
	for _, name := range p.programs {
		if found, err := exec.LookPath(name); err == nil {
			return found, nil
		}
	}
	return "", nil
}

// version asks the program; empty where there is none.
func (p pooler) version(ctx context.Context) (string, error) {
	program, err := p.find()
	if err != nil || program == "" {
		return "", err
	}
	return versionOf(ctx, program)
}

// number is a version as all of them print one.
var number = regexp.MustCompile(`\d+(\.\d+)+\S*`)

// versionOf asks a program for it. What it ends with is no matter: some take the question for a mistake.
func versionOf(ctx context.Context, program string) (string, error) {
	said, err := exec.CommandContext(ctx, program, "--version").CombinedOutput()
	if v := parseVersion(string(said)); v != "" {
		return v, nil
	}
	return "", fmt.Errorf("%s --version says %q (%w)", program, said, err)
}

// parseVersion reads the number out of "PgBouncer 1.18.0" and what follows.
func parseVersion(said string) string {
	line, _, _ := strings.Cut(said, "\n")
	return number.FindString(line)
}

// start starts a pooler if it is here; without it the bench goes on.
func (s *stage) start(ctx context.Context, p pooler) error {
	program, err := p.find()
	if err != nil {
		return err
	}
	if program == "" {
		s.absent = append(s.absent, fmt.Sprintf("%s: it is not here (put it on PATH, or set %s)", p.name, p.variable))
		return nil
	}
	version, err := versionOf(ctx, program)
	if err != nil {
		return err
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	args, err := p.command(s, port, version)
	var reason unable
	if errors.As(err, &reason) {
		s.absent = append(s.absent, p.name+": "+reason.Error())
		return nil
	}
	if err != nil {
		return err
	}
	who, err := s.credential() // none of them wants to be root
	if err != nil {
		return err
	}
	s.versions[p.name] = version
	return s.add(ctx, p.name, port, who, program, args...)
}

// startPgBouncer starts it if it is here.
func (s *stage) startPgBouncer(ctx context.Context) error {
	err := s.start(ctx, pgBouncer)
	s.bouncerVersion = s.versions[pgBouncer.name]
	return err
}

// startOthers starts whoever else is here.
func (s *stage) startOthers(ctx context.Context) error {
	for _, p := range poolers[1:] {
		if err := s.start(ctx, p); err != nil {
			return err
		}
	}
	return nil
}
