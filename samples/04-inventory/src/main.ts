import { startServer } from "lockstep/develop"
import { REPLICATIONS } from "./inventory.ts"
import { print } from "./report.ts"
import { type Trial, tryOut } from "./trial.ts"

/**
 * An inventory with one primary and two backups, once in each setting of the mode. Customers reserve all the time, the backups' lines are cut, and
 * the primary is killed. Afterwards there are three stories to compare: what customers were told, what the group knows, and what the carrier booked.
 */
await using server = await startServer()
const trials: Array<Trial> = []
for (const replication of REPLICATIONS) {
  process.stderr.write(
    `  ${replication}: three replica processes, eight customers, and SIGKILL to the primary\n`,
  )
  trials.push(await tryOut(server.url, replication))
}
const ok = trials.every(({ broken }) => broken.length === 0)
const json = process.argv.includes("--json")
process.stdout.write(json ? `${JSON.stringify({ ok, trials }, undefined, 2)}\n` : print(trials))
process.exitCode = ok ? 0 : 1
