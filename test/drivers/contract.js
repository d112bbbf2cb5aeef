// The contract of the driver programs, for those in JavaScript: see README.md beside this file.
'use strict'

const readline = require('readline')

const lines = []
const waiting = []
let ended = false
const input = readline.createInterface({ input: process.stdin })
input.on('line', (line) => (waiting.length ? waiting.shift()(line) : lines.push(line)))
input.on('close', () => {
  ended = true
  for (const w of waiting.splice(0)) w(null)
})

function nextLine () {
  if (lines.length) return Promise.resolve(lines.shift())
  if (ended) return Promise.resolve(null)
  return new Promise((resolve) => waiting.push(resolve))
}

function say (message) {
  process.stdout.write(JSON.stringify(message) + '\n')
}

// awaitRunning returns when a statement that holds the mark sleeps in its server: the test looks, and answers.
async function awaitRunning (mark) {
  say({ await: mark })
  await nextLine()
}

// only is what the names of the cases begin with that the present target is for.
let only = ''

// aCase says what a case came to, if it is to be done.
async function aCase (name, run) {
  if (only ? !name.startsWith(only) : name === 'cut') return
  try {
    say({ case: name, result: String(await run()) })
  } catch (e) {
    say({ case: name, failed: `${e.name}: ${e.message} ${e.code || ''}`.trim() })
  }
}

// serve uses each target that the test names, up to the end of the input.
async function serve (use) {
  for (let line; (line = await nextLine()) !== null;) {
    try {
      const t = JSON.parse(line)
      only = t.cases
      await use(t)
    } catch (e) {
      say({ case: 'connect', failed: `${e.name}: ${e.message}` })
    }
    say({ end: true })
  }
}

// code is the SQLSTATE that a promise fails with.
async function code (promise) {
  try {
    await promise
  } catch (e) {
    return e.code || e.message
  }
  return 'no error'
}

// afterCut is what the case cut says: how the statement ended, and the next query, on a new connection where it must be.
async function afterCut (said, one, anew) {
  try {
    return `${said} ${await one()}`
  } catch (e) {
    return `${said} again ${await anew()}`
  }
}

// servers is the case of that name: pid tells the server that a query ran on.
async function servers (t, pid) {
  const first = await pid()
  for (let i = ['direct', 'session'].includes(t.mode) ? 20 : 10000; i > 0; i--) {
    if (await pid() !== first) return 'several'
  }
  return 'one'
}

module.exports = {
  say, awaitRunning, aCase, serve, code, afterCut,
  servers,
  // What all drivers ask, so that all say the same.
  WHO: "SELECT current_user || ' ' || current_database() || ' ' || current_setting('server_version_num')::int / 10000 AS v",
  SIMPLE: "SELECT 1 AS a, 'two' AS b, NULL::text AS c, 'gr\u00fc\u00df' AS d",
  PARAMETERS: "SELECT concat_ws(' ', $1::int + 1, $2::text, $3::text IS NULL, encode($4::bytea, 'hex'), $5::float8 * 2, $6::int[], $7::date) AS v",
  TEXT: "it's \\ \u20ac $1",
  sleep: (mark) => `SELECT pg_sleep(600) AS ${mark}`,
  MANY: 30,
  BIG: 3000000,
  ROWS: 100000
}
