import { digest, Epoch, Malformed, SessionId } from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { Checkpointer } from "../../src/state-machine/checkpoint.ts"

const chain = digest("chain")
const roster = { epoch: Epoch(1), voters: [], standbys: [] }
const schema = {
  number: 2,
  versions: new Map([
    ["A", 3],
    ["T", 1],
  ]),
}
const position = { seq: 7, chain, chainBefore: chain, timeNs: 1n, roster, schema, since: 5 }

/** A checkpoint with one actor and one session, as a disk holds it. */
function taken() {
  const checkpointer = new Checkpointer()
  checkpointer.gather({ sessions: new Map([[SessionId(3), Buffer.from("session")]]) })
  checkpointer.gather({ actors: [{ type: "T", key: "a\0b", bytes: Buffer.from("state") }] })
  const { header, rows } = checkpointer.take(position, -1)
  return { header, rows: new Map([...rows].map(([id, bytes]) => [id, bytes ?? Buffer.alloc(0)])) }
}

describe("a checkpoint", () => {
  it("gives back what was taken", () => {
    const actors: Array<unknown> = []
    const restored = new Checkpointer().restore(taken(), (row) => actors.push(row))
    expect(actors).toEqual([{ type: "T", key: "a\0b", bytes: Buffer.from("state") }])
    expect(restored.sessions).toEqual(new Map([[SessionId(3), Buffer.from("session")]]))
    expect(restored.header).toMatchObject(position)
  })

  it("is malformed where a row is damaged, although that row looks like one of another build", () => {
    const damaged = taken()
    damaged.rows.set("actor\0T\0a\0b", Buffer.from("other"))
    const refuse = (): never => {
      throw new TypeError("of another build")
    }
    expect(() => new Checkpointer().restore(damaged, refuse)).toThrow(Malformed)
    expect(() => new Checkpointer().restore(taken(), refuse)).toThrow("of another build")
  })

  it("does not repeat rows that did not change", () => {
    const checkpointer = new Checkpointer()
    const actors = [{ type: "T", key: "a", bytes: Buffer.from("state") }]
    checkpointer.gather({ actors })
    expect(checkpointer.take(position, -1).rows.size).toBe(1)
    checkpointer.gather({ actors })
    const again = checkpointer.take({ ...position, seq: 9 }, -1)
    expect([again.rows.size, again.buckets.size]).toEqual([0, 0])
  })
})
