import {
  ActorError,
  type Canonical,
  digest,
  Diverged,
  type Effect,
  InvalidArgument,
  LockstepError,
  NoQuorum,
  type Outcome,
  OutcomeUnknown,
  Overloaded,
  ReplicaId,
  SessionExpired,
  type Testimony,
} from "@lockstep/core"
import { describe, expect, it } from "vitest"

const [r0, r1, r2] = [ReplicaId("r0"), ReplicaId("r1"), ReplicaId("r2")]

function testimony(replica: ReplicaId, outcome: Outcome | undefined): Testimony {
  return { replica, seq: 7, digest: digest(replica), outcome }
}

function returned(replica: ReplicaId, value: Canonical): Testimony {
  return testimony(replica, { _tag: "Returned", value })
}

const undecided = {
  detail: "The group did not answer in time.",
  needed: 2,
  testimonies: [returned(r0, 100n), testimony(r1, undefined)],
  missing: [r2],
  command: { partition: 3, session: 5, number: 8 },
}

/** Every error, whether the command took effect, and how its message says what happened, that, and what to do. */
const errors: ReadonlyArray<readonly [string, LockstepError, Effect, ReadonlyArray<RegExp>]> = [
  [
    "InvalidArgument",
    new InvalidArgument("bank/Account.deposit", "argument 1 is a string, not a bigint"),
    "no",
    [/^bank\/Account\.deposit: argument 1 is a string/, /was not executed/, /correct the call/],
  ],
  [
    "Overloaded",
    new Overloaded("1000 commands wait already"),
    "no",
    [/^1000 commands wait already\./, /was not executed/, /try again later/],
  ],
  [
    "NoQuorum",
    new NoQuorum({ ...undecided, seq: 7 }),
    "unknown",
    [/^The group did not answer in time\./, /is in the log/, /retry\(error\)/, /never executes it twice/],
  ],
  [
    "Diverged",
    new Diverged(undecided),
    "unknown",
    [
      /^The group did not answer/,
      /faulty than the group can mask/,
      /an operator must look/,
      /do not trust either/,
    ],
  ],
  [
    "OutcomeUnknown",
    new OutcomeUnknown(undecided),
    "unknown",
    [
      /^The group did not answer/,
      /may or may not take effect/,
      /retry\(error\)/,
      /without executing it twice/,
    ],
  ],
  [
    "SessionExpired",
    new SessionExpired("bank/Account.deposit"),
    "unknown",
    [
      /^bank\/Account\.deposit: the session .* was evicted/,
      /nobody knows whether it was executed/,
      /Look at/,
    ],
  ],
]

describe("an error that a call ends with", () => {
  it.for(errors)(
    "says what happened, whether it took effect, and what to do: %s",
    ([tag, error, effect, says]) => {
      expect([error._tag, error.name, error.constructor.name, error.tookEffect]).toEqual([
        tag,
        tag,
        tag,
        effect,
      ])
      for (const phrase of says) expect(error.message).toMatch(phrase)
      expect(error).toBeInstanceOf(LockstepError)
      expect(error).toBeInstanceOf(Error)
    },
  )

  it.for(errors)("speaks of nothing that its reader does not know: %s", ([, error]) => {
    expect(error.message).not.toMatch(
      /undefined|null|NaN|\[object|nats|jetstream|effect\/|fiber|\bat .*:\d+/i,
    )
    expect(error.message).toMatch(/\.$/)
    expect(error.message).not.toMatch(/\.\.|\s{2}|\n/)
  })

  it("is told from the others by its tag, with the fields that go with it", () => {
    const told = (error: Diverged | InvalidArgument | Overloaded): string => {
      switch (error._tag) {
        case "Diverged":
          return `${error.missing.length} missing`
        case "InvalidArgument":
          return error.target
        case "Overloaded":
          return error.detail
      }
    }
    expect(told(new Diverged(undecided))).toBe("1 missing")
    expect(told(new InvalidArgument("a/b", "c"))).toBe("a/b")
    expect(told(new Overloaded("full"))).toBe("full")
  })
})

describe("an undecided command", () => {
  it("keeps who said what, who was silent, and the command that can be retried", () => {
    const error = new NoQuorum({ ...undecided, seq: 7 })
    const { needed, testimonies, missing, command, seq } = error
    expect({ detail: undecided.detail, needed, testimonies, missing, command }).toEqual(undecided)
    expect(seq).toBe(7)
    expect(error.message).toContain(
      `2 equal votes are needed: r0 answered 100n (digest ${digest("r0").slice(0, 12)}) at 7`,
    )
    expect(error.message).toContain(
      `r1 answered (digest ${digest("r1").slice(0, 12)}) at 7, r2 was not heard.`,
    )
  })

  it("of which nobody said anything says so", () => {
    const error = new OutcomeUnknown({ ...undecided, testimonies: [], missing: [] })
    expect(error.message).toContain("2 equal votes are needed: no replica was heard.")
  })

  it.for<readonly [string, Outcome]>([
    ["nothing", { _tag: "Returned", value: undefined }],
    ["null", { _tag: "Returned", value: null }],
    ['"text"', { _tag: "Returned", value: "text" }],
    ['{"total":"5n","at":[1]}', { _tag: "Returned", value: { total: 5n, at: [1] } }],
    ['{"Map":[["CHF",1]]}', { _tag: "Returned", value: new Map([["CHF", 1]]) }],
    ['[{"Set":[1,{"Set":["2n"]}]}]', { _tag: "Returned", value: [new Set([1, new Set([2n])])] }],
    ['"3 bytes"', { _tag: "Returned", value: new Uint8Array(3) }],
    [`"${"x".repeat(56)}…`, { _tag: "Returned", value: "x".repeat(1000) }],
    ["error InsufficientFunds", { _tag: "Threw", code: "InsufficientFunds", data: null }],
    ["refused: UnknownMethod", { _tag: "Refused", reason: "UnknownMethod", detail: "" }],
  ])("shows an outcome in a few words: %s", ([shown, outcome]) => {
    const error = new Diverged({ ...undecided, testimonies: [testimony(r0, outcome)] })
    expect(error.message).toContain(`r0 answered ${shown} (digest`)
  })

  it("tells answers apart even where they read alike: replicas vote on a whole batch", () => {
    const error = new Diverged({ ...undecided, testimonies: [returned(r0, 1), returned(r1, 1)] })
    const [first, second] = [...error.message.matchAll(/answered 1 \(digest ([0-9a-f]{12})\)/g)].map(
      ([, hex]) => hex,
    )
    expect([first, second]).toEqual([digest("r0").slice(0, 12), digest("r1").slice(0, 12)])
  })
})

describe("an actor's own error", () => {
  it("has a code, and data of any kind; its message is the code where nobody wrote one", () => {
    const short = new ActorError("InsufficientFunds", { balance: 5n })
    expect([short.code, short.data, short.message]).toEqual([
      "InsufficientFunds",
      { balance: 5n },
      "InsufficientFunds",
    ])
    const long = new ActorError({ code: "Closed", data: 1, message: "The account is closed." })
    expect([long.code, long.data, long.message]).toEqual(["Closed", 1, "The account is closed."])
    expect(new ActorError("Bare").data).toBe(undefined)
    expect([long._tag, long.name, long.tookEffect]).toEqual(["ActorError", "ActorError", "yes"])
  })
})
