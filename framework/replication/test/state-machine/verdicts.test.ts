import {
  ClientId,
  decodeStatement,
  decodeVote,
  digest,
  encodeStatement,
  encodeVote,
  Epoch,
  GroupName,
  Partition,
  ReplicaId,
  SessionId,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"
import { Ballot } from "../../src/state-machine/ballot.ts"
import type { Heard } from "../../src/state-machine/inbox.ts"
import { Verdicts } from "../../src/state-machine/verdicts.ts"

const replicas = ["r0", "r1", "r2"].map(ReplicaId)
const [r0, r1, r2] = replicas as [ReplicaId, ReplicaId, ReplicaId] // as they stand above

/** A vote as it is read from its bytes, each time anew. */
function vote(replica: ReplicaId, outcomes: string): Heard {
  const bytes = Buffer.from(outcomes)
  const statement = encodeStatement({
    group: GroupName("g"),
    epoch: Epoch(1),
    partition: Partition(0),
    seq: 7,
    chain: digest("chain"),
    client: ClientId("c"),
    session: SessionId(1),
    number: 1,
    count: 1,
    outcomes: digest(bytes),
  })
  const [message] = encodeVote(replica, statement, bytes)
  const read = decodeVote(message ?? bytes)
  return { vote: read, statement: decodeStatement(read.statement) }
}

describe("a vote that comes late", () => {
  it.each([
    ["matches, however long ago the others were read", "right", true],
    ["dissents where it says something else", "wrong", false],
  ] as const)("%s", (_, says, isMatch) => {
    const ballot = new Ballot({ needed: 2, replicas, count: 1 })
    for (const replica of [r0, r1]) ballot.add(vote(replica, "right"))
    const verdicts = new Verdicts()
    verdicts.decided({ number: 1, ballot }, ballot.decision, 0)
    const told = verdicts.late(vote(r2, says))
    expect(told[0]).toMatchObject({ _tag: "Late", replica: r2, seq: 7, isMatch })
    expect(told.length).toBe(isMatch ? 1 : 2)
    expect(verdicts.counts.dissents.size).toBe(isMatch ? 0 : 1)
  })
})
