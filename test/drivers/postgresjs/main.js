// postgres.js with its defaults but for the number of connections: everything is prepared, and queries are pipelined.
'use strict'

const fs = require('fs')
const path = require('path')
const tls = require('tls')
const { pipeline } = require('stream/promises')
const { Readable } = require('stream')
const postgres = require('postgres')
const contract = require('../contract.js')
const { say, awaitRunning, aCase, serve, code, servers } = contract

// sockets is how many this process has open.
const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length

class User {
  constructor (t, sql) {
    this.t = t
    this.sql = sql
    this.table = t.table
  }

  async value (text, values) {
    return (await this.sql.unsafe(text, values))[0].v
  }

  async one () {
    return (await this.sql`SELECT ${1}::int AS v`)[0].v
  }

  async query () {
    const r = (await this.sql.unsafe(contract.SIMPLE))[0]
    return [r.a, r.b, r.c, r.d].join(' ').replace('  ', ' null ')
  }

  async parameters () {
    const r = await this.sql`SELECT concat_ws(' ', ${41}::int + 1, ${contract.TEXT}::text, ${null}::text IS NULL,
      encode(${Buffer.from([0, 255])}::bytea, 'hex'), ${1.25}::float8 * 2, ${[1, 2, 3]}::int[], ${'2026-11-22'}::date) AS v`
    return r[0].v
  }

  async prepared () {
    let sum = 0
    for (let n = 1; n <= 12; n++) sum += (await this.sql`SELECT ${n}::int * 2 AS v`)[0].v
    return sum
  }

  async many () {
    let sum = 0
    for (let n = 0; n < 3; n++) {
      for (let i = 0; i < contract.MANY; i++) sum += (await this.sql.unsafe(`SELECT $1::int + ${i} AS v`, [n], { prepare: true }))[0].v
    }
    return sum
  }

  async transaction () {
    const insert = (sql, n) => sql`INSERT INTO ${sql(this.table)} VALUES (${n}, 'kept') RETURNING pg_backend_pid() AS v`
    const pids = await this.sql.begin(async (sql) => [...await insert(sql, 1), ...await insert(sql, 2)].map((r) => r.v))
    await code(this.sql.begin(async (sql) => {
      await insert(sql, 3)
      await insert(sql, 4)
      throw new Error('lost')
    }))
    if (pids[0] !== pids[1]) throw new Error('another server within a transaction')
    return this.value(`SELECT count(*) AS v FROM ${this.table}`)
  }

  async errors () {
    const divide = (n) => this.sql`SELECT 1 / ${n}::int AS v`
    const said = [await code(this.sql`INSERT INTO ${this.sql(this.table)} VALUES (${1}, 'again')`), await code(divide(0))]
    const end = await code(this.sql.begin(async (sql) => {
      await code(sql`SELECT 1 / 0`)
      said.push(await code(sql`SELECT 1`))
    }))
    if (said.length < 3) throw new Error(end)
    return [...said, (await divide(1))[0].v].join(' ')
  }

  // pipeline sends statements of one transaction at once, as an array.
  async pipeline () {
    const insert = (sql, n) => sql`INSERT INTO ${sql(this.table)} VALUES (${n}, 'batch')`
    const count = () => this.value(`SELECT count(*) AS v FROM ${this.table} WHERE t = 'batch'`)
    const done = await this.sql.begin((sql) => Array.from({ length: 10 }, (_, i) => insert(sql, 100 + i)))
    const said = [done.length, await count()]
    said.push(await code(this.sql.begin((sql) => [200, 201, 100, 202].map((n) => insert(sql, n)))))
    const loose = await Promise.all(Array.from({ length: 10 }, (_, i) => this.sql`SELECT ${i}::int AS v`))
    if (loose.some((r, i) => r[0].v !== i)) throw new Error('answers in another order')
    return [...said, await count()].join(' ')
  }

  async copy () {
    const rows = Array.from({ length: 1000 }, (_, i) => `${1000 + i}\tcopied\n`)
    const put = async (lines) => pipeline(Readable.from(lines), await this.sql.unsafe(`COPY ${this.table} FROM STDIN`).writable())
    await put(rows)
    let out = ''
    for await (const chunk of await this.sql.unsafe(`COPY (SELECT n FROM ${this.table} WHERE t = 'copied') TO STDOUT`).readable()) out += chunk
    return `${out.split('\n').length - 1} ${await this.one()}` // after bad data its stream never ends, on PostgreSQL neither
  }

  async cursor () {
    let sum = 0
    for await (const rows of this.sql`SELECT n FROM generate_series(1, ${1000}::int) n`.cursor(10)) sum += rows.reduce((s, r) => s + r.n, 0)
    await this.sql`SELECT n FROM generate_series(1, ${1000}::int) n`.cursor(10, () => this.sql.CLOSE)
    return `${sum} ${await this.one()}`
  }

  async big () {
    const text = (await this.sql`SELECT repeat('x', ${contract.BIG}::int) AS v`)[0].v
    const rows = await this.sql`SELECT n FROM generate_series(1, ${contract.ROWS}::int) n`
    return `${text.length} ${rows.length} ${rows.reduce((s, r) => s + r.n, 0)}`
  }

  // cancelled waits for the cancel's connection to be gone, of which the driver tells nothing: a query that is asked for
  // while it is still there may be given to it, and is never answered.
  async cancelled (mark, query) {
    const said = code(query.execute())
    await awaitRunning(mark)
    const before = sockets()
    query.cancel()
    const result = await said
    while (sockets() > before) await new Promise((resolve) => setTimeout(resolve, 5))
    return result
  }

  async cancel () {
    const mark = this.t.user + '_c'
    const sleep = () => this.sql.unsafe(contract.sleep(mark))
    return [await this.cancelled(mark, sleep()), await this.cancelled(mark, sleep()), await this.one()].join(' ')
  }

  async cancelInTransaction () {
    const mark = this.t.user + '_t'
    const said = []
    const end = await code(this.sql.begin(async (sql) => {
      said.push(await this.cancelled(mark, sql.unsafe(contract.sleep(mark))))
      said.push(await code(sql`SELECT 1`))
    }))
    if (said.length < 2) throw new Error(end)
    return [...said, await this.one()].join(' ')
  }

  async cancelPrepared () {
    const mark = this.t.user + '_p'
    const said = await this.cancelled(mark, this.sql`SELECT pg_sleep(${600}) AS ${this.sql(mark)}`)
    return `${said} ${await this.one()}`
  }

  async cut () {
    const mark = `${this.t.user}_x${this.t.port}`
    const said = await this.cancelled(mark, this.sql.unsafe(contract.sleep(mark)))
    return contract.afterCut(said, () => this.one(), () => this.one()) // it connects anew by itself
  }

  servers () {
    return servers(this.t, () => this.value('SELECT pg_backend_pid() AS v'))
  }
}

async function use (t) {
  const sql = postgres({
    host: t.host, port: t.port, user: t.user, password: t.password, database: t.database, max: 1, onnotice: () => {},
    // For an address it would look for the name localhost in the certificate.
    ssl: t.sslmode === 'disable' ? false : { ca: fs.readFileSync(t.sslrootcert), checkServerIdentity: (_, c) => tls.checkServerIdentity(t.host, c) }
  })
  const u = new User(t, sql)
  await aCase('connect', () => u.value(contract.WHO))
  await aCase('query', () => u.query())
  await aCase('parameters', () => u.parameters())
  await aCase('prepared', () => u.prepared())
  await aCase('many', () => u.many())
  await aCase('transaction', () => u.transaction())
  await aCase('error', () => u.errors())
  await aCase('pipeline', () => u.pipeline())
  await aCase('copy', () => u.copy())
  await aCase('cursor', () => u.cursor())
  await aCase('big', () => u.big())
  await aCase('cancel', () => u.cancel())
  await aCase('cancel in a transaction', () => u.cancelInTransaction())
  await aCase('cancel prepared', () => u.cancelPrepared())
  await aCase('cut', () => u.cut())
  await aCase('servers', () => u.servers())
  await sql.end()
}

// The package does not export its manifest.
const manifest = path.join(path.dirname(require.resolve('postgres')), '..', '..', 'package.json')
say({ driver: 'postgres.js', version: JSON.parse(fs.readFileSync(manifest)).version })
serve(use)
