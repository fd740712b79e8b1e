import { bucketDigest, bucketOf } from "@lockstep/core"
import { erasureCoded, stateMachine } from "@lockstep/replication"
import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { encodeBucket, placeOf } from "../../src/bucket.ts"
import { Shards } from "../../src/state-machine/shards.ts"

type Rows = ReadonlyMap<string, Uint8Array | undefined>

/** What replicas keep of one sequence of checkpoints, each on its own disk. */
class Disks {
  readonly #coding: { readonly data: number; readonly parity: number }
  readonly #replicas: ReadonlyArray<Shards>
  readonly disks: ReadonlyArray<Map<string, Uint8Array>>

  constructor(coding: { readonly data: number; readonly parity: number }) {
    this.#coding = coding
    this.#replicas = Array.from({ length: coding.data + coding.parity }, () => new Shards(coding))
    this.disks = this.#replicas.map(() => new Map<string, Uint8Array>())
  }

  /** `slots` is the place of each replica. */
  take(changes: Rows, slots: ReadonlyArray<number> = [...this.disks.keys()]): void {
    for (const [i, replica] of this.#replicas.entries())
      for (const [id, bytes] of replica.take(changes, slots[i] ?? -1)) {
        if (bytes === undefined) this.disks[i]?.delete(id)
        else this.disks[i]?.set(id, bytes)
      }
  }

  /** What these replicas keep of a bucket, as they send it. */
  kept(index: number, replicas: ReadonlyArray<number>): ReadonlyArray<Buffer> {
    return replicas.map((i) =>
      encodeBucket(new Map([...(this.disks[i] ?? [])].filter(([id]) => placeOf(id) === index))),
    )
  }

  restored(index: number, rows: ReadonlyMap<string, Uint8Array>, kept: ReadonlyArray<Uint8Array>) {
    return new Shards(this.#coding).restoreBucket(index, bucketDigest(rows), kept)
  }
}

const coding = fc.constantFrom({ data: 2, parity: 1 }, { data: 2, parity: 3 }, { data: 3, parity: 2 })
const id = fc.integer({ min: 0, max: 30 }).map((i) => `actor\0T\0${i}`)
const rows = fc.dictionary(
  id,
  fc.option(
    fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    { nil: undefined },
  ),
)

describe("shards of checkpoints", () => {
  it("restore every bucket from any choice of enough replicas, after any changes", () => {
    fc.assert(
      fc.property(
        coding,
        fc.array(rows, { minLength: 1, maxLength: 6 }),
        fc.nat(),
        (code, checkpoints, dice) => {
          const disks = new Disks(code)
          const state = new Map<string, Uint8Array>()
          for (const changes of checkpoints.map((change) => new Map(Object.entries(change)))) {
            disks.take(changes)
            for (const [row, bytes] of changes) {
              if (bytes === undefined) state.delete(row)
              else state.set(row, bytes)
            }
          }
          for (const [index, own] of Map.groupBy(state, ([row]) => bucketOf(row))) {
            const count = code.data + code.parity
            const some = Array.from(
              { length: code.data },
              (_, i) => (dice + i * (dice % 2 === 0 ? 1 : count - 1)) % count,
            )
            const bucket = new Map(own)
            expect(disks.restored(index, bucket, disks.kept(index, some))).toEqual(bucket)
          }
        },
      ),
    )
  })

  it("are found out where they are wrong, as long as there are enough right ones", () => {
    const state = new Map([["actor\0T\0a", Buffer.from("alice")]])
    const index = bucketOf("actor\0T\0a")
    const disks = new Disks({ data: 2, parity: 3 })
    disks.take(state)
    const kept = disks.kept(index, [0, 1, 2, 3, 4])
    const lies = [Buffer.alloc(kept[0]?.length ?? 0, 7), Buffer.from("no shard"), Buffer.alloc(0)]
    expect(disks.restored(index, state, [...lies, ...kept.slice(3)])).toEqual(state)
    expect(disks.restored(index, state, [...lies, ...kept.slice(4)])).toBeUndefined()
  })

  it("take a fraction of what copies take", () => {
    const state = new Map(
      Array.from({ length: 2000 }, (_, i) => [`actor\0T\0${i}`, Buffer.alloc(300, i)] as const),
    )
    const disks = new Disks({ data: 3, parity: 2 })
    disks.take(state)
    const sizes = disks.disks.map((disk) => [...disk.values()].reduce((sum, bytes) => sum + bytes.length, 0))
    const whole = [...state].reduce((sum, [row, bytes]) => sum + row.length + bytes.length, 0)
    for (const size of sizes) expect(size).toBeLessThan(whole * 0.36)
  })

  it("are those of another place, all of them, when the replica gets one", () => {
    const state = new Map(
      Array.from({ length: 50 }, (_, i) => [`actor\0T\0${i}`, Buffer.from(`row ${i}`)] as const),
    )
    const disks = new Disks({ data: 2, parity: 1 })
    disks.take(state, [0, 1, -1])
    expect(disks.disks[2]?.size).toBe(0)
    disks.take(new Map(), [2, 1, 0])
    for (const [index, own] of Map.groupBy(state, ([row]) => bucketOf(row))) {
      const bucket = new Map(own)
      expect(disks.restored(index, bucket, disks.kept(index, [0, 2]))).toEqual(bucket)
    }
  })
})

describe("a mode whose checkpoints are erasure coded", () => {
  it("has a shard for each replica, and survives as many losses as it has faults", () => {
    const checkpoints = erasureCoded({ data: 3, parity: 2 })
    expect(stateMachine({ faults: 2, faultModel: "byzantine", checkpoints }).storage).toBe("shards")
    expect(() => stateMachine({ faults: 1, faultModel: "byzantine", checkpoints })).toThrow(/3 \+ 2 shards/)
    const brittle = erasureCoded({ data: 4, parity: 1 })
    expect(() => stateMachine({ faults: 2, faultModel: "byzantine", checkpoints: brittle })).toThrow(
      /destroy/,
    )
    expect(() => erasureCoded({ data: 1, parity: 2 })).toThrow(/at least 2/)
    expect(() => erasureCoded({ data: 2, parity: -1 })).toThrow(RangeError)
  })
})
