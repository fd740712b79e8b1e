import { encodePeerReport, type Schema } from "@lockstep/core"
import type { ReplicaRole } from "../mode.ts"
import type { ReignStatus } from "../reign.ts"
import type { Backup } from "./backup.ts"
import type { Ground } from "./ground.ts"
import { Primary } from "./primary.ts"
import { reignReport } from "./reign-report.ts"

/** What the log says of the current primary, and what this replica has to do with it. */
export function reignStatus(ground: Ground, role: Primary | Backup): ReignStatus {
  const isPrimary = role instanceof Primary
  return {
    ...reignReport(ground),
    isMaster: isPrimary,
    mayLeave: isPrimary ? !role.hasSuccessor : !ground.reigns.isInSync(ground.life),
    leased: isPrimary && role.leased,
    committed: ground.ledger.committed,
    lag: isPrimary ? role.lag : new Map(),
    truncated: ground.truncated,
    degradedCommands: ground.degradedCommands,
    failovers: ground.failovers,
    margin: isPrimary ? role.margin : undefined,
  }
}

/** What the roster makes of this replica. */
export function standingOf({ reigns, options }: Ground): ReplicaRole {
  const { voters, standbys } = reigns.roster
  if (voters.includes(options.replica)) return "voter"
  return standbys.includes(options.replica) ? "standby" : "unlisted"
}

/** What this replica could execute. */
export function schemaOf({ options }: Ground): Schema {
  const versions = new Map([...options.definitions].map(([type, { version }]) => [type, version]))
  return { number: 0, versions }
}

/** For operators, who ask who is up and how far. */
export function peerReport(ground: Ground): Uint8Array {
  const { group, partition, replica } = ground.options
  const { seq, chain } = ground.past
  const { epoch } = ground.reigns.roster
  return encodePeerReport({
    group,
    epoch,
    partition,
    replica,
    seq,
    chain,
    schema: schemaOf(ground),
    onProbation: false, // nobody checks what it computes
  })
}
