import type { ReignReport, ReignStatus } from "../mode.ts"
import type { Backup } from "./backup.ts"
import type { Ground } from "./ground.ts"
import { Primary } from "./primary.ts"

/** What the log says of the current primary. */
export function reignReport({ reigns, rules }: Ground): ReignReport {
  const { epoch, master, inSync, acknowledgements, start, lossWindow } = reigns.current
  return {
    epoch,
    master: master?.replica,
    inSync: inSync.map(({ replica }) => replica),
    acknowledgements,
    degraded: rules.replication === "semi-synchronous" && acknowledgements < rules.acknowledgements,
    position: start,
    lossWindow,
  }
}

/** The same, and what this replica has to do with it. */
export function reignStatus(ground: Ground, role: Primary | Backup): ReignStatus {
  const isPrimary = role instanceof Primary
  return {
    ...reignReport(ground),
    leased: isPrimary && role.leased,
    committed: ground.ledger.committed,
    lag: isPrimary ? role.lag : new Map(),
    truncated: ground.truncated,
    degradedCommands: ground.degradedCommands,
  }
}
