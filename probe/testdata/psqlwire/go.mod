module psqlwire

go 1.26.0

require (
	github.com/jackc/pgx/v5 v5.4.3
	github.com/jeroenrinzema/psql-wire v0.20.0
)
