// node-postgres (pg) with its defaults, with pg-cursor, pg-query-stream and pg-copy-streams.
'use strict'

const fs = require('fs')
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
const { Client } = require('pg')
const Cursor = require('pg-cursor')
const QueryStream = require('pg-query-stream')
const { from, to } = require('pg-copy-streams')
const contract = require('../contract.js')
const { say, awaitRunning, aCase, serve, code, servers } = contract

function settings (t) {
  return {
    host: t.host, port: t.port, user: t.user, password: t.password, database: t.database,
    ssl: t.sslmode === 'disable' ? false : { ca: fs.readFileSync(t.sslrootcert), rejectUnauthorized: true }
  }
}

class User {
  constructor (t, c) {
    this.t = t
    this.c = c
    this.table = t.table
  }

  async ask (query, values) {
    return (await this.c.query(query, values)).rows
  }

  async value (query, values) {
    return (await this.ask(query, values))[0].v
  }

  one () {
    return this.value('SELECT $1::int AS v', [1])
  }

  async query () {
    const r = (await this.ask(contract.SIMPLE))[0]
    return [r.a, r.b, r.c, r.d].join(' ').replace('  ', ' null ')
  }

  async prepared () {
    let sum = 0
    for (let n = 1; n <= 12; n++) sum += await this.value({ name: 'p', text: 'SELECT $1::int * 2 AS v', values: [n] })
    return sum
  }

  async many () {
    let sum = 0
    for (let n = 0; n < 3; n++) {
      for (let i = 0; i < contract.MANY; i++) sum += await this.value({ name: `m${i}`, text: `SELECT $1::int + ${i} AS v`, values: [n] })
    }
    return sum
  }

  async transaction () {
    const insert = `INSERT INTO ${this.table} VALUES ($1, 'kept') RETURNING pg_backend_pid() AS v`
    await this.c.query('BEGIN')
    const pids = [await this.value(insert, [1]), await this.value(insert, [2])]
    await this.c.query('COMMIT')
    await this.c.query('BEGIN')
    await this.value(insert, [3])
    await this.value(insert, [4])
    await this.c.query('ROLLBACK')
    if (pids[0] !== pids[1]) throw new Error('another server within a transaction')
    return this.value(`SELECT count(*) AS v FROM ${this.table}`)
  }

  async errors () {
    const divide = (n) => this.ask({ name: 'd', text: 'SELECT 1 / $1::int AS v', values: [n] })
    const said = [await code(this.ask(`INSERT INTO ${this.table} VALUES ($1, 'again')`, [1])), await code(divide(0))]
    await this.c.query('BEGIN')
    await code(this.ask('SELECT 1 / 0'))
    said.push(await code(this.ask('SELECT 1')))
    await this.c.query('ROLLBACK')
    return [...said, (await divide(1))[0].v].join(' ')
  }

  async copy () {
    const rows = Array.from({ length: 1000 }, (_, i) => `${1000 + i}\tcopied\n`)
    await pipeline(Readable.from(rows), this.c.query(from(`COPY ${this.table} FROM STDIN`)))
    let out = ''
    for await (const chunk of this.c.query(to(`COPY (SELECT n FROM ${this.table} WHERE t = 'copied') TO STDOUT`))) out += chunk
    const bad = await code(pipeline(Readable.from(['no number\tx\n']), this.c.query(from(`COPY ${this.table} FROM STDIN`))))
    return `${out.split('\n').length - 1} ${bad} ${await this.one()}`
  }

  // cursor reads in pieces without a transaction around it: the batch stays open between them.
  async cursor () {
    const text = 'SELECT n FROM generate_series(1, $1::int) n'
    const cursor = this.c.query(new Cursor(text, [1000]))
    let sum = 0
    for (let rows; (rows = await cursor.read(10)).length;) sum += rows.reduce((s, r) => s + r.n, 0)
    await cursor.close()
    let streamed = 0
    for await (const row of this.c.query(new QueryStream(text, [1000], { batchSize: 10 }))) streamed += row.n
    if (streamed !== sum) throw new Error(`${streamed} streamed`)
    const early = this.c.query(new Cursor(text, [1000]))
    await early.read(10)
    await early.close()
    return `${sum} ${await this.one()}`
  }

  async big () {
    const text = await this.value("SELECT repeat('x', $1) AS v", [contract.BIG])
    const rows = await this.ask('SELECT n FROM generate_series(1, $1::int) n', [contract.ROWS])
    return `${text.length} ${rows.length} ${rows.reduce((s, r) => s + r.n, 0)}`
  }

  // cancelled cancels as pg does: a second client that is given the first and its query.
  async cancelled (mark, config) {
    let done
    const finished = new Promise((resolve) => { done = resolve })
    const { Query } = require('pg')
    const query = new Query(config, (err) => done(err ? err.code : 'no error'))
    this.c.query(query)
    await awaitRunning(mark)
    const other = new Client(settings(this.t))
    const closed = new Promise((resolve) => other.connection.on('end', resolve))
    other.cancel(this.c, query)
    const said = await finished
    other.connection.stream.end()
    await closed
    return said
  }

  async cancel () {
    const mark = this.t.user + '_c'
    const config = { text: contract.sleep(mark) }
    return [await this.cancelled(mark, config), await this.cancelled(mark, config), await this.one()].join(' ')
  }

  async cancelInTransaction () {
    const mark = this.t.user + '_t'
    await this.c.query('BEGIN')
    const said = [await this.cancelled(mark, { text: contract.sleep(mark) }), await code(this.ask('SELECT 1'))]
    await this.c.query('ROLLBACK')
    return [...said, await this.one()].join(' ')
  }

  async cancelPrepared () {
    const mark = this.t.user + '_p'
    const said = await this.cancelled(mark, { name: 's', text: `SELECT pg_sleep($1) AS ${mark}`, values: [600] })
    return `${said} ${await this.one()}`
  }

  async cut () {
    const mark = `${this.t.user}_x${this.t.port}`
    const said = await this.cancelled(mark, { text: contract.sleep(mark) })
    return contract.afterCut(said, () => this.one(), async () => {
      const c = new Client(settings(this.t))
      await c.connect()
      const one = await new User(this.t, c).one()
      await c.end()
      return one
    })
  }

  servers () {
    return servers(this.t, () => this.value('SELECT pg_backend_pid() AS v'))
  }
}

async function use (t) {
  const c = new Client(settings(t))
  c.on('error', () => {}) // is told again to whoever asks
  await c.connect()
  const u = new User(t, c)
  await aCase('connect', () => u.value(contract.WHO))
  await aCase('query', () => u.query())
  await aCase('parameters', () => u.value(contract.PARAMETERS, [41, contract.TEXT, null, Buffer.from([0, 255]), 1.25, [1, 2, 3], '2026-11-22']))
  await aCase('prepared', () => u.prepared())
  await aCase('many', () => u.many())
  await aCase('transaction', () => u.transaction())
  await aCase('error', () => u.errors())
  await aCase('copy', () => u.copy())
  await aCase('cursor', () => u.cursor())
  await aCase('big', () => u.big())
  await aCase('cancel', () => u.cancel())
  await aCase('cancel in a transaction', () => u.cancelInTransaction())
  await aCase('cancel prepared', () => u.cancelPrepared())
  await aCase('cut', () => u.cut())
  await aCase('servers', () => u.servers())
  await c.end()
}

say({ driver: 'node-postgres', version: require('pg/package.json').version })
serve(use)
