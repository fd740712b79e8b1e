import type { Check } from "../verdict.ts"
import type { Annals, Execution, Reign } from "./annals.ts"

/** What was acknowledged and is not there at the end. */
export interface Losses {
  readonly lost: ReadonlySet<number>
  /** The failovers that reported that something may be lost, and those that lost something. */
  readonly windows: ReadonlyArray<{ readonly epoch: number; readonly window: number; readonly lost: number }>
  readonly checks: ReadonlyArray<Check>
}

interface Fate extends Execution {
  readonly item: number
  readonly survived: boolean
  /** It was executed more than once: nobody can tell in which place of the order it was acknowledged. */
  readonly isAmbiguous: boolean
}

/**
 * Judges what an asynchronous group lost. In each reign, what survives of what was acknowledged is a prefix, in the order in which it was
 * executed; and failovers lost no more than they reported. Each call is a batch and so a position of its own: every client has one caller.
 */
export function judgeLosses(
  acknowledged: ReadonlyArray<number>,
  surviving: ReadonlySet<number>,
  annals: Pick<Annals, "executions" | "reigns">,
): Losses {
  const unexplained: Array<string> = []
  const fates = acknowledged.flatMap((item): ReadonlyArray<Fate> => {
    const [first, ...again] = annals.executions.get(item) ?? []
    if (first !== undefined)
      return [{ ...first, item, survived: surviving.has(item), isAmbiguous: again.length > 0 }]
    unexplained.push(`${item} was acknowledged, and nobody executed it`)
    return []
  })
  const ofEpoch = Map.groupBy(fates, ({ epoch }) => epoch)
  const survivingEpochs = [...ofEpoch].filter(([, of]) => of.some(({ survived }) => survived))
  const windows = new Map<number, { readonly epoch: number; readonly window: number; lost: number }>()
  for (const { epoch, lossWindow: window } of annals.reigns) windows.set(epoch, { epoch, window, lost: 0 })
  for (const [epoch, of] of ofEpoch) {
    const lost = of.filter(({ survived }) => !survived)
    if (lost.length === 0) continue
    // what a later reign has acknowledged for good stands upon all that was not lost before
    const until = Math.min(...survivingEpochs.map(([later]) => later).filter((later) => later > epoch))
    const failovers = annals.reigns.filter((reign) => reign.epoch > epoch && reign.epoch <= until)
    const excess = share(lost.length, failovers, windows)
    if (excess > 0)
      unexplained.push(
        `of epoch ${epoch}, ${lost.length} were lost, ${excess} more than ${JSON.stringify(failovers)} reported`,
      )
  }
  const lost = new Set(fates.filter(({ survived }) => !survived).map(({ item }) => item))
  const reported = [...windows.values()].filter(({ window }) => window > 0)
  const total = reported.reduce((sum, { window }) => sum + window, 0)
  return {
    lost,
    windows: reported,
    checks: [
      {
        rule: "no failover lost more than it reported",
        judged: `${lost.size} lost, ${total} reported in ${reported.length} of ${annals.reigns.length} reigns`,
        broken: unexplained,
      },
      prefixes(ofEpoch),
    ],
  }
}

/** What of each reign survives is what was executed first. */
function prefixes(ofEpoch: ReadonlyMap<number, ReadonlyArray<Fate>>): Check {
  const broken: Array<string> = []
  let ambiguous = 0
  for (const [epoch, of] of ofEpoch) {
    const clear = of.filter(({ isAmbiguous }) => !isAmbiguous)
    ambiguous += of.length - clear.length
    const ordered = clear.toSorted((a, b) => a.serial - b.serial)
    const end = ordered.findIndex(({ survived }) => !survived)
    const stray = end < 0 ? undefined : ordered.slice(end).find(({ survived }) => survived)
    if (stray !== undefined)
      broken.push(
        `of epoch ${epoch}, ${ordered[end]?.item} is lost, and ${stray.item}, which came later, is not`,
      )
  }
  return {
    rule: "what survives of each reign is a prefix",
    judged: `${ofEpoch.size} reigns; ${ambiguous} entries were executed again, and left out`,
    broken,
  }
}

/** Counts losses towards these failovers, the first one first. Yields how many none of them reported. */
function share(
  lost: number,
  failovers: ReadonlyArray<Reign>,
  windows: ReadonlyMap<number, { readonly window: number; lost: number }>,
): number {
  let left = lost
  for (const { epoch } of failovers) {
    const window = windows.get(epoch)
    if (window === undefined) continue
    const here = Math.min(left, window.window - window.lost)
    window.lost += here
    left -= here
  }
  return left
}
