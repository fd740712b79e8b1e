import type { ReplicaId } from "@lockstep/core"
import type { ReignReport } from "@lockstep/replication"
import { nameOf, type Page, type Proclamation } from "./chronicle.ts"

/** In each epoch all replicas say the same: who is the master, and where that one begins. */
export function checkOneMaster(proclamations: ReadonlyArray<Proclamation>): ReadonlyArray<string> {
  const known = new Map<number, Proclamation>()
  return proclamations.flatMap((proclamation) => {
    const { replica, report } = proclamation
    const other = known.get(report.epoch)
    if (other === undefined) known.set(report.epoch, proclamation)
    if (other === undefined || saying(other.report) === saying(report)) return []
    return [
      `epoch ${report.epoch}: ${replica} says ${saying(report)}, and ${other.replica} ${saying(other.report)}`,
    ]
  })
}

/** Records that one master made. */
export interface Reigned {
  readonly epoch: number
  readonly first: Page
  readonly last: Page
}

/** What each master begins with is a prefix, without holes, of what the one before had; and that is what the log said of it. */
export function checkSuccession(
  reigns: ReadonlyArray<Reigned>,
  proclamations: ReadonlyArray<Pick<Proclamation, "report">>,
): ReadonlyArray<string> {
  const starts = new Map(proclamations.map(({ report }) => [report.epoch, report.position]))
  return reigns.flatMap(({ epoch, first }, i) => {
    const { position } = first.record
    const start = starts.get(epoch)
    if (start !== undefined && start !== position - 1)
      return [`the master of epoch ${epoch} was to begin after ${start}, and made record ${position} first`]
    const before = reigns[i - 1]?.last
    const isPrefix = first.before === undefined || isIn(first.before, before)
    return isPrefix
      ? []
      : [
          `the master of epoch ${epoch} began with ${nameOf(first.before)}, and the one before had ${nameOf(before)}`,
        ]
  })
}

/** Whether a history that ends there has this record. */
function isIn(page: Page, end: Page | undefined): boolean {
  for (let at = end; at !== undefined; at = at.before) if (at === page) return true
  return false
}

function saying({
  master,
  position,
}: { readonly master: ReplicaId | undefined } & Pick<ReignReport, "position">) {
  return `${master ?? "nobody"} from ${position}`
}
