import { spawnSync } from "node:child_process"
import { chown, mkdir, realpath } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Pool } from "pg"
import type { Peer } from "../contender.ts"
import { freePorts } from "@lockstep/nats"
import { findProgram, startProgram, versionOf } from "./program.ts"

const CONNECTIONS = 32
/** Nobody: PostgreSQL will not be started by root. */
const NOBODY = 65_534

const ADD = `insert into counters (key, value) values ($1, 1)
  on conflict (key) do update set value = counters.value + 1 returning value`

/** A row per key, in one server: each add is a transaction, which is on the disk when it is answered. */
export async function startPostgres(folder: string): Promise<Peer> {
  const command = await realpath(findProgram("postgres"))
  const uid = process.getuid?.() === 0 ? NOBODY : undefined
  const dir = join(folder, "postgres")
  await mkdir(dir)
  if (uid !== undefined) await chown(dir, uid, uid)
  initialize(join(dirname(command), "initdb"), dir, uid)
  const [port = 0] = await freePorts(1)
  const settings = {
    port,
    listen_addresses: "127.0.0.1",
    unix_socket_directories: "",
    fsync: "on",
    synchronous_commit: "on",
    max_connections: CONNECTIONS + 8,
  }
  const pool = new Pool({
    host: "127.0.0.1",
    port,
    user: "bench",
    password: "",
    database: "postgres",
    max: CONNECTIONS,
    min: CONNECTIONS,
    idleTimeoutMillis: 0,
  })
  pool.on("error", () => undefined) // a connection that is idle when the server ends
  const server = await startProgram({
    command,
    args: ["-D", dir, ...Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`])],
    ...(uid !== undefined && { uid }),
    // at once, but it takes its processes with it
    signal: "SIGQUIT",
    ready: async () => (await pool.query("select 1")).rowCount === 1,
  })
  await pool.query("create table counters (key text primary key, value bigint not null)")
  return {
    name: "PostgreSQL: insert … on conflict",
    terms: {
      synced: "each write",
      copies: 1,
      executed: 1,
      takesTurns: true,
      about: `${versionOf(command, /\(PostgreSQL\) (\S+)/)}, no standby, synchronous_commit on; ${CONNECTIONS} connections, a prepared statement`,
    },
    counter: (key) => async () => {
      const { rows } = await pool.query<{ readonly value: string }>({ name: "add", text: ADD, values: [key] })
      return Number(rows[0]?.value)
    },
    async [Symbol.asyncDispose]() {
      await pool.end()
      await server[Symbol.asyncDispose]()
    },
  }
}

function initialize(initdb: string, dir: string, uid: number | undefined): void {
  const args = ["-D", dir, "-U", "bench", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
  const { status, stderr, error } = spawnSync(initdb, args, {
    encoding: "utf8",
    cwd: dir,
    ...(uid !== undefined && { uid, gid: uid }),
  })
  if (status !== 0) throw new Error(`${initdb}: ${error?.message ?? stderr}`)
}
