import {
  ByteWriter,
  ClientId,
  OutcomeUnknown,
  Partition,
  ReplicaId,
  SessionId,
  writeReturned,
} from "@lockstep/core"
import { encodeRecord, type JournalRecord, type ReignReport } from "@lockstep/replication"
import type { CallRecord } from "../src/caller.ts"
import type { Page, Proclamation } from "../src/chronicle.ts"

/** A record of one command, whose id is its trace, and which returned this. */
export function recordOf(
  of: { readonly epoch: number; readonly position: number },
  id = `call ${of.epoch}/${of.position}`,
  returned: unknown = null,
): JournalRecord {
  const writer = new ByteWriter(64)
  writeReturned(writer, returned)
  return {
    ...of,
    client: ClientId("c"),
    session: SessionId(1),
    number: of.position,
    count: 1,
    settledBelow: 0,
    traces: [id],
    outcomes: writer.take(),
    rows: [],
  }
}

/** The same as a replica writes it down. */
export function bytesOf(epoch: number, position: number, id?: string): Buffer {
  return encodeRecord(recordOf({ epoch, position }, id))
}

/** A history of records of one epoch, after another one. Yields its last page. */
export function pages(epoch: number, count: number, before?: Page): Page {
  let last = before
  for (let i = 0; i < count; i++) {
    const record = recordOf({ epoch, position: (last?.record.position ?? 0) + 1 })
    last = { record, bytes: encodeRecord(record), before: last }
  }
  if (last === undefined) throw new RangeError("a history has a page")
  return last
}

/** What a replica says of who is the master. */
export function proclaimed(
  report: Pick<ReignReport, "epoch" | "position"> & {
    readonly master?: string
    readonly lossWindow?: number
  },
  replica = "r0",
): Proclamation {
  return {
    replica: ReplicaId(replica),
    report: {
      inSync: [],
      acknowledgements: 0,
      degraded: false,
      lossWindow: 0,
      ...report,
      master: ReplicaId(report.master ?? "r0"),
    },
  }
}

/** A call that was answered, at a position, between these times. */
export function answered(
  id: string,
  of: {
    readonly seq: number
    readonly at: readonly [calledAtMs: number, returnedAtMs: number]
    readonly client?: string
    readonly reads?: CallRecord["reads"]
    readonly call?: CallRecord["call"]
    readonly returned?: null | number
  },
): CallRecord {
  const [calledAtMs, returnedAtMs] = of.at
  return {
    id,
    caller: "c0.0",
    client: of.client ?? "c0-0",
    call: of.call ?? { member: "add", key: "a", args: [1] },
    reads: of.reads,
    calledAtMs,
    returnedAtMs,
    output: { returned: of.returned ?? null },
    seq: of.seq,
    errors: [],
    tookEffect: "yes",
  }
}

/** The same, and nobody knows what became of it. */
export function undecided(record: CallRecord): CallRecord {
  const command = { partition: Partition(0), session: 1, number: 1 }
  const error = new OutcomeUnknown({ needed: 1, testimonies: [], missing: [], command, detail: "late" })
  return { ...record, output: undefined, returnedAtMs: undefined, errors: [error], tookEffect: "unknown" }
}
