import { List as TestedList, Register as TestedRegister } from "@lockstep/testing"
import { Command, primaryBackup, type PrimaryBackupOptions, Replicated } from "lockstep"

/** The settings of the mode that are struck. */
export const REPLICATIONS = ["synchronous", "semi-synchronous", "asynchronous"] as const
export type Replication = (typeof REPLICATIONS)[number]

/** k of the semi-synchronous setting: so many replicas may fail at a time. */
export const ACKNOWLEDGEMENTS = 1

/** The simulator's list and register, in a group with a primary. Whoever executes an `append` says so in its log. */
export function actorsOf(replication: Replication) {
  const mode = primaryBackup(optionsOf(replication))

  @Replicated({ name: "chaos/List", version: 1, mode })
  class List extends TestedList {
    @Command()
    override append(item: number): number {
      note(item)
      return super.append(item)
    }
  }

  @Replicated({ name: "chaos/Register", version: 1, mode })
  class Register extends TestedRegister {}

  return { List, Register }
}

function optionsOf(replication: Replication): PrimaryBackupOptions {
  return replication === "semi-synchronous"
    ? { replication, acknowledgements: ACKNOWLEDGEMENTS }
    : { replication }
}

/** On Linux a pipe is written at once: what was executed is in the log before anybody is answered, also when the process is killed. */
function note(item: number): void {
  process.stdout.write(`${JSON.stringify({ event: EXECUTED, item })}\n`)
}

/** The line of a replica's log that says what it executed. */
export const EXECUTED = "executed"

const told = process.env["CHAOS_REPLICATION"]

/** What a replica hosts. */
export const actors = Object.values(actorsOf(REPLICATIONS.find((name) => name === told) ?? "synchronous"))
