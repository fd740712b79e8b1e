import { type Attestation, digest, Epoch, ReplicaId } from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { Stability } from "../../src/state-machine/stability.ts"

const [r0, r1, r2, r3] = ["r0", "r1", "r2", "r3"].map(ReplicaId) as [
  ReplicaId,
  ReplicaId,
  ReplicaId,
  ReplicaId,
] // four names

function word(replica: ReplicaId, state: string, seq = 10): Attestation {
  return {
    _tag: "Attestation",
    replica,
    epoch: Epoch(1),
    seq,
    chain: digest("chain"),
    state: digest(state),
    durable: true,
  }
}

describe("what replicas attest", () => {
  it("is stable where f+1 voters say the same, and one who has no vote is not one of them", () => {
    const stability = new Stability({ votes: 2, holders: 2 }, [r0, r1, r2])
    stability.hear(word(r0, "right"))
    stability.hear(word(r3, "right"))
    expect(stability.stable).toBeUndefined()
    stability.hear(word(r1, "right"))
    expect(stability.stable).toMatchObject({ seq: 10, state: digest("right") })
    expect(stability.durable?.seq).toBe(10)
  })

  it("does not add up over two rosters: the word of a liar who was removed is forgotten", () => {
    const stability = new Stability({ votes: 2, holders: 2 }, [r0, r1, r2])
    stability.hear(word(r2, "wrong"))
    stability.adopt([r0, r1, r3])
    stability.hear(word(r1, "wrong"))
    expect(stability.stable).toBeUndefined()
    stability.hear(word(r0, "right"))
    stability.hear(word(r3, "right"))
    expect(stability.stable?.state).toBe(digest("right"))
  })

  it("stays certified when others vote, and is said again by them", () => {
    const stability = new Stability({ votes: 2, holders: 3 }, [r0, r1, r2])
    stability.hear(word(r0, "right"))
    stability.hear(word(r1, "right"))
    stability.adopt([r0, r1, r3])
    expect(stability.stable?.state).toBe(digest("right"))
    expect(stability.said(10, r0)).toBeUndefined()
    for (const voter of [r0, r1, r3]) stability.hear(word(voter, "right"))
    expect(stability.durable?.seq).toBe(10)
  })

  it("counts for the others although one liar attests positions that it made up", () => {
    const stability = new Stability({ votes: 2, holders: 2 }, [r0, r1, r2])
    for (let seq = 10; seq < 100; seq += 10) {
      stability.hear(word(r0, "right", seq))
      for (let i = 0; i < 16; i++) stability.hear(word(r2, "right", 1_000_000 + seq * 100 + i))
      stability.hear(word(r1, "right", seq))
    }
    expect(stability.stable?.seq).toBe(90)
  })
})
