import { digest, type ReplicaId } from "@lockstep/core"
import { decodeRecord, type JournalRecord, type ReignReport } from "@lockstep/replication"

/** A record, and the one that it was made after. */
export interface Page {
  readonly record: JournalRecord
  readonly bytes: Uint8Array
  readonly before: Page | undefined
}

/** What a replica said of who is the master. */
export interface Proclamation {
  readonly replica: ReplicaId
  readonly report: ReignReport
}

/**
 * What all replicas of a group with a single master ever had in their histories, as somebody saw it who looked into all of them. A record is known
 * by its epoch and position: one master made it, once.
 */
export class Chronicle {
  /** Histories that cannot be those of one group. */
  readonly disagreements: Array<string> = []
  readonly proclamations: Array<Proclamation> = []
  readonly #pages = new Map<string, Page>()
  /** By epoch: up to where its master called its history acknowledged. */
  readonly #acknowledged = new Map<number, number>()
  /** The last record of each replica. */
  readonly #last = new Map<ReplicaId, Page | undefined>()
  /** The last record in each checkpoint, by the digest of its header. */
  readonly #checkpoints = new Map<string, Page | undefined>()

  /** A replica begins with what is on its disk. */
  begins(
    replica: ReplicaId,
    disk: { readonly header: Uint8Array | undefined; readonly journal: ReadonlyArray<Uint8Array> },
  ): void {
    let last = disk.header && this.#checkpoints.get(digest(disk.header))
    for (const bytes of disk.journal) {
      const { position } = decodeRecord(bytes)
      if (position <= positionOf(last)) continue // the checkpoint has it
      if (position > positionOf(last) + 1) break
      last = this.#page(replica, bytes, last)
    }
    this.#last.set(replica, last)
  }

  /** From this position on, these records are a replica's history, and nothing else. */
  writes(replica: ReplicaId, from: number, records: ReadonlyArray<Uint8Array>): void {
    let last = this.#last.get(replica)
    while (last !== undefined && last.record.position >= from) last = last.before
    if (positionOf(last) !== from - 1)
      this.disagreements.push(`${replica} writes from ${from} on, and has ${positionOf(last)} records`)
    for (const bytes of records) last = this.#page(replica, bytes, last)
    this.#last.set(replica, last)
  }

  /** A replica takes a checkpoint at this position of its history. */
  checkpoint(replica: ReplicaId, seq: number, header: Uint8Array): void {
    let last = this.#last.get(replica)
    while (last !== undefined && last.record.position > seq) last = last.before
    if (positionOf(last) !== seq)
      this.disagreements.push(`${replica} takes a checkpoint at ${seq}, and has ${positionOf(last)} records`)
    this.#checkpoints.set(digest(header), last)
  }

  /** The master of this epoch calls this acknowledged. */
  acknowledges(epoch: number, position: number): void {
    this.#acknowledged.set(epoch, position)
  }

  /** What a replica has, from the first record on. */
  historyOf(replica: ReplicaId): ReadonlyArray<Page> {
    return historyUpTo(this.#last.get(replica))
  }

  /** The last records of all histories that there ever were. */
  get ends(): ReadonlyArray<Page> {
    const continued = new Set([...this.#pages.values()].map(({ before }) => before))
    return [...this.#pages.values()].filter((page) => !continued.has(page))
  }

  /** By epoch, in their order: the first and the last record that its master made, and up to where it acknowledged. */
  get reigns(): ReadonlyArray<{
    readonly epoch: number
    readonly first: Page
    readonly last: Page
    readonly acknowledged: number
  }> {
    const byEpoch = Map.groupBy(this.#pages.values(), ({ record }) => record.epoch)
    return [...byEpoch]
      .toSorted(([a], [b]) => a - b)
      .flatMap(([epoch, pages]) => {
        const ordered = pages.toSorted((a, b) => a.record.position - b.record.position)
        const [first, last] = [ordered[0], ordered.at(-1)]
        return first === undefined || last === undefined
          ? []
          : [{ epoch, first, last, acknowledged: this.#acknowledged.get(epoch) ?? 0 }]
      })
  }

  #page(replica: ReplicaId, bytes: Uint8Array, before: Page | undefined): Page {
    const record = decodeRecord(bytes)
    const { epoch, position } = record
    const id = `${epoch}/${position}`
    const known = this.#pages.get(id)
    if (known === undefined) {
      if (before !== undefined && before.record.epoch > epoch)
        this.disagreements.push(`${replica}: record ${id} follows one of epoch ${before.record.epoch}`)
      const page = { record, bytes, before }
      this.#pages.set(id, page)
      return page
    }
    if (Buffer.compare(known.bytes, bytes) !== 0)
      this.disagreements.push(`${replica} has another record ${id} than others`)
    if (known.before === before) return known
    const [theirs, ours] = [known.before, before].map((page) => nameOf(page))
    this.disagreements.push(`${replica}: record ${id} follows ${ours}, and elsewhere ${theirs}`)
    return { record, bytes, before }
  }
}

/** A history, from its first record on. */
export function historyUpTo(last: Page | undefined): ReadonlyArray<Page> {
  const pages: Array<Page> = []
  for (let page = last; page !== undefined; page = page.before) pages.push(page)
  return pages.toReversed()
}

function positionOf(page: Page | undefined): number {
  return page?.record.position ?? 0
}

export function nameOf(page: Page | undefined): string {
  return page === undefined ? "nothing" : `${page.record.epoch}/${page.record.position}`
}
