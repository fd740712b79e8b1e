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
  /** Up to here its master called its history acknowledged. */
  readonly acknowledged: number
}

/**
 * What each master begins with is a prefix, without holes, of what the one before had; and that is what the log said of it. `mayPassOver`: a
 * master who acknowledged nothing that it made leaves nothing behind where any backup may be the next one, and that one then has what it had before.
 */
export function checkSuccession(
  reigns: ReadonlyArray<Reigned>,
  proclamations: ReadonlyArray<Pick<Proclamation, "report">>,
  { mayPassOver = false }: { readonly mayPassOver?: boolean } = {},
): ReadonlyArray<string> {
  const starts = new Map(proclamations.map(({ report }) => [report.epoch, report.position]))
  return reigns.flatMap(({ epoch, first }, i) => {
    const { position } = first.record
    const start = starts.get(epoch)
    if (start !== undefined && start !== position - 1)
      return [`the master of epoch ${epoch} was to begin after ${start}, and made record ${position} first`]
    const before = reigns[i - 1]?.last
    const since = mayPassOver ? reigns.slice(0, i).findLastIndex(acknowledgedItsOwn) : i - 1
    const may = reigns.slice(Math.max(0, since), i)
    const isPrefix = first.before === undefined || may.some(({ last }) => isIn(first.before, last))
    return isPrefix
      ? []
      : [
          `the master of epoch ${epoch} began with ${nameOf(first.before)}, and the one before had ${nameOf(before)}`,
        ]
  })
}

function acknowledgedItsOwn({ first, acknowledged }: Reigned): boolean {
  return acknowledged >= first.record.position
}

/** Whether a history that ends there has this record. */
function isIn(page: Page | undefined, end: Page | undefined): boolean {
  for (let at = end; at !== undefined; at = at.before) if (at === page) return true
  return false
}

function saying({
  master,
  position,
}: { readonly master: ReplicaId | undefined } & Pick<ReignReport, "position">) {
  return `${master ?? "nobody"} from ${position}`
}
