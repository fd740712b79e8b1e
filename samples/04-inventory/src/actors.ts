import { inventoryOf, REPLICATIONS } from "./inventory.ts"

const replication = REPLICATIONS.find((name) => name === process.env["REPLICATION"])
if (replication === undefined) throw new Error(`REPLICATION must be one of ${REPLICATIONS.join(", ")}`)

/** What a replica of this service hosts: `LOCKSTEP_MODULE` names this file. */
export const actors = [inventoryOf(replication)]
