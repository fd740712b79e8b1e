import {
  ClientId,
  decodeEnvelope,
  invariant,
  InvalidArgument,
  Overloaded,
  SessionId,
  sliceOf,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { CLIENT_LIMITS } from "../src/limits.ts"
import type { Submission } from "../src/mode.ts"
import { Outbox } from "../src/outbox.ts"

const BATCH_BYTES_MAX = 8192

const header = { client: ClientId("c"), session: SessionId(1), number: 1, settledBelow: 1 }

function submission(argsBytes: number, trace?: string): Submission {
  const args = sliceOf(Buffer.alloc(argsBytes))
  return { type: "bank/Account", member: "deposit", key: "alice", args, trace }
}

function outbox() {
  const box = new Outbox<Submission>({ ...CLIENT_LIMITS, batchBytesMax: BATCH_BYTES_MAX })
  const add = (argsBytes: number, trace: string | undefined) => box.add(submission(argsBytes, trace), 0)
  const sealed = (): ReadonlyArray<{ readonly bytes: number; readonly traces: number }> => {
    const batches: Array<{ bytes: number; traces: number }> = []
    for (let draft = box.take(); draft !== undefined; draft = box.take()) {
      const bytes = box.seal(draft, header)
      const batch = decodeEnvelope(bytes)
      batches.push({ bytes: bytes.length, traces: batch._tag === "Batch" ? batch.traces.length : 0 })
    }
    return batches
  }
  return { add, sealed }
}

function sealedOf(box: Outbox<Submission>): Buffer {
  const draft = box.take()
  invariant(draft !== undefined, "something waits")
  return box.seal(draft, header)
}

describe("what waits", () => {
  it("is bounded by the number of commands, where their arguments are small", () => {
    const limits = { ...CLIENT_LIMITS, commandsMax: 5000, bytesMax: 5000 * 3 }
    const box = new Outbox<Submission>(limits)
    for (let i = 0; i < 5000; i++) expect(box.add(submission(3), 0)).toBeUndefined()
    expect(box.add(submission(0), 0)).toBeInstanceOf(Overloaded)
    expect(box.counts.waiting).toBe(5000)
  })

  it("is bounded by the bytes of their arguments", () => {
    const box = new Outbox<Submission>({ ...CLIENT_LIMITS, bytesMax: 1000 })
    expect(box.add(submission(999), 0)).toBeUndefined()
    expect(box.add(submission(2), 0)).toBeInstanceOf(Overloaded)
    expect(box.add(submission(1), 0)).toBeUndefined()
    box.drop()
    expect(box.add(submission(1000), 0)).toBeUndefined()
  })
})

describe("what waits too long", () => {
  it("is dropped although what was put back in front of it has more time", () => {
    const box = new Outbox<Submission>(CLIENT_LIMITS)
    box.add(submission(3), 0)
    const batch = decodeEnvelope(sealedOf(box))
    invariant(batch._tag === "Batch", "it holds a command")
    box.add(submission(4), 100)
    box.putBack(batch, { calls: [submission(3)], bytes: 3, deadlineMs: 2 * CLIENT_LIMITS.deadlineMs })
    expect(box.expired(CLIENT_LIMITS.deadlineMs + 200).map(({ bytes }) => bytes)).toEqual([4])
    expect(box.expired(2 * CLIENT_LIMITS.deadlineMs).map(({ bytes }) => bytes)).toEqual([3])
    expect(box.isEmpty).toBe(true)
  })
})

describe("a batch with traces", () => {
  it("is within its bound, whatever travels with its commands", () => {
    const { add, sealed } = outbox()
    for (let i = 0; i < 20; i++) expect(add(100, `${i} ${"é".repeat(1000)}`)).toBeUndefined()
    const batches = sealed()
    expect(batches.reduce((sum, { traces }) => sum + traces, 0)).toBe(20)
    for (const { bytes } of batches) expect(bytes).toBeLessThanOrEqual(BATCH_BYTES_MAX)
  })

  it("goes without a trace that leaves no room for the command", () => {
    const { add, sealed } = outbox()
    expect(add(6000, "t".repeat(200))).toBeUndefined()
    expect(sealed()).toMatchObject([{ traces: 0 }])
    expect(add(8000, undefined)).toBeInstanceOf(InvalidArgument)
  })
})
