import { inventoryOf, REPLICATIONS } from "./inventory.ts"

/** What a replica of this service hosts: `LOCKSTEP_MODULE` names this file, `REPLICATION` the setting. */
const told = REPLICATIONS.find((name) => name === process.env["REPLICATION"])
if (told === undefined) throw new Error(`REPLICATION is one of ${REPLICATIONS.join(", ")}`)
export const actors = [inventoryOf(told)]
