package main

// figures are what one measurement says, by the names of columns.
type figures map[string]float64

// measurement is one target under one load for a moment.
type measurement struct {
	Part    string  `json:"part"`
	Trial   string  `json:"trial"`
	Target  string  `json:"target"`
	Round   int     `json:"round"`
	Figures figures `json:"figures"`
}

// column is one kind of figure.
type column struct {
	key, title string
	decimals   int
}

// columns are all that are shown, in the order of the tables.
var columns = []column{
	{"cpu", "CPU us/query", 1},
	{"login_cpu", "CPU us/login", 0},
	{"mb_cpu", "CPU us/MB", 0},
	{"rate", "queries/s", 0},
	{"logins", "logins/s", 0},
	{"mb", "MB/s", 0},
	{"p50", "p50 us", 0},
	{"p99", "p99 us", 0},
	{"p999", "p99.9 us", 0},
	{"peak", "peak MB", 1},
	{"idle", "KB/client", 2},
	{"settled", "KB/client, later", 2},
}

// own is what only the load itself spends, for the line below the tables.
const own = "load_cpu"
