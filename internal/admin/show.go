package admin

import (
	"context"
	"fmt"
	"strings"

	"cancello/internal/sqlstate"
)

// answer is what a statement came to.
type answer struct {
	table   *table // nil: none
	notices []string
	tag     string
}

// view is one thing that SHOW shows.
type view struct {
	name    string // in capitals
	columns []column
	fill    func(*Console, context.Context, *table) error
}

// views is what SHOW shows. Columns that PgBouncer has are named and ordered as there.
func views() []view {
	return append([]view{
		{"POOLS", poolColumns(), (*Console).showPools},
		{"CLIENTS", socketColumns(), (*Console).showClients},
		{"SERVERS", socketColumns(), (*Console).showServers},
		{"DATABASES", databaseColumns(), (*Console).showDatabases},
		{"UPSTREAMS", upstreamColumns(), (*Console).showUpstreams},
		{"STATS", statsColumns(), (*Console).showStats},
		{"CANCELS", cancelColumns(), (*Console).showCancels},
		{"CONFIG", columns("key", "value", "default", "changeable"), (*Console).showConfig},
		{"STATE", columns("key", "value"), (*Console).showState},
		{"VERSION", columns("version"), (*Console).showVersion},
	}, moreViews()...)
}

// parameters are the settings that a driver wants to be told, or asks for.
func (c *Console) parameters() [][2]string {
	return [][2]string{
		{"server_version", c.version + "/cancello"}, {"server_encoding", "UTF8"}, {"client_encoding", "UTF8"},
		{"application_name", ""}, {"default_transaction_read_only", "off"}, {"in_hot_standby", "off"}, {"is_superuser", "on"},
		{"DateStyle", "ISO, MDY"}, {"IntervalStyle", "postgres"}, {"TimeZone", "UTC"}, {"integer_datetimes", "on"},
		{"standard_conforming_strings", "on"}, {"default_transaction_isolation", "read committed"},
	}
}

// parameter finds one of them by name.
func (c *Console) parameter(name string) (value string, ok bool) {
	for _, p := range c.parameters() {
		if strings.EqualFold(p[0], name) {
			return p[1], true
		}
	}
	return "", false
}

// shape is the columns that a statement will answer with; nil for none. The error is that of a SHOW of something unknown.
func shape(words []word) ([]column, error) {
	if len(words) == 0 || !words[0].is("SHOW") || len(words) == 2 && words[1].is("HELP") {
		return nil, nil
	}
	v, err := (&Console{}).view(words[1:])
	return v.columns, err
}

// view finds what a SHOW is about.
func (c *Console) view(words []word) (view, error) {
	switch len(words) {
	case 1:
		for _, v := range views() {
			if words[0].is(v.name) {
				return v, nil
			}
		}
		if value, ok := c.parameter(words[0].text); ok {
			return view{columns: columns(strings.ToLower(words[0].text)), fill: func(_ *Console, _ context.Context, t *table) error {
				t.add(value)
				return nil
			}}, nil
		}
		return view{}, sqlstate.New(sqlstate.SeverityError, codeUndefined, fmt.Sprintf("there is nothing called %q to show: try SHOW HELP", words[0].text))
	case 0:
		return view{}, syntax("SHOW what? Try SHOW HELP")
	}
	return view{}, syntax("SHOW takes one name: try SHOW HELP")
}

// show answers a SHOW; words are those behind it.
func (c *Console) show(ctx context.Context, words []word) (*answer, error) {
	if len(words) == 1 && words[0].is("HELP") {
		return &answer{tag: "SHOW", notices: []string{help()}}, nil
	}
	v, err := c.view(words)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, questionTime)
	defer cancel()
	t := &table{columns: v.columns}
	if err := v.fill(c, ctx, t); err != nil {
		return nil, err
	}
	return &answer{table: t, tag: "SHOW"}, nil
}

func help() string {
	var names []string
	for _, v := range views() {
		if v.name != "FDS" { // which only says why it isn't there
			names = append(names, v.name)
		}
	}
	text := "Console usage\nDETAIL:\n\tSHOW HELP|" + strings.Join(names, "|")
	for _, o := range orders() {
		if o.usage != "" {
			text += "\n\t" + o.usage
		}
	}
	return text
}

// execute carries a statement out.
func (t *talk) execute(words []word) (*answer, error) {
	switch {
	case words[0].is("SHOW"):
		return t.console.show(t.ctx, words[1:])
	case words[0].is("SET") && len(words) > 1:
		if _, ok := t.console.parameter(words[1].text); ok || words[1].is("extra_float_digits") {
			return &answer{tag: "SET"}, nil // drivers set them without being asked; nothing depends on them here
		}
	}
	for _, o := range orders() {
		if words[0].is(o.name) {
			return t.obey(o, words[1:])
		}
	}
	return nil, syntax(fmt.Sprintf("the console does not know %q: try SHOW HELP", words[0].text))
}
