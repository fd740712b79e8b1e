import type { Canonical } from "./canonical.ts"
import type { ReplicaId } from "./ids.ts"
import type { Outcome } from "./outcome.ts"

/** Whether the command changed, or will change, the actor: `"no"` is a promise, `"unknown"` an admission. */
export type Effect = "no" | "yes" | "unknown"

/** An unsettled command, by which the client that issued it can wait for it again. It is never executed twice. */
export interface CommandId {
  readonly partition: number
  readonly session: number
  readonly number: number
}

/** What one replica said of a command. */
export interface Testimony {
  readonly replica: ReplicaId
  /** Position in the log that it executed the command at. */
  readonly seq: number
  /** Digest of the outcomes of the whole batch. */
  readonly digest: string
  /** Its outcome of this command, where it sent the bytes. */
  readonly outcome: Outcome | undefined
}

/** Every error that a call can end with. `_tag` names it, `tookEffect` says what became of the command. */
export abstract class LockstepError extends Error {
  abstract readonly _tag: string
  abstract readonly tookEffect: Effect
}

/** The call is wrong: no such actor or method, or an argument that its schema refuses. Fix the call. Nothing was executed. */
export class InvalidArgument extends LockstepError {
  readonly _tag = "InvalidArgument"
  override readonly name = "InvalidArgument"
  readonly tookEffect = "no"
  readonly target: string
  readonly detail: string

  constructor(target: string, detail: string) {
    super(`${target}: ${detail}. The command was not executed; correct the call.`)
    this.target = target
    this.detail = detail
  }
}

/** A bound was reached, or the log takes no entries. Nothing was executed. Slow down, then try again. */
export class Overloaded extends LockstepError {
  readonly _tag = "Overloaded"
  override readonly name = "Overloaded"
  readonly tookEffect = "no"
  readonly detail: string

  constructor(detail: string) {
    super(`${detail}. The command was not executed; try again later, or with fewer calls at once.`)
    this.detail = detail
  }
}

/**
 * So few replicas are in sync that the class's mode refuses to acknowledge a write. Nothing was executed. Try again when an operator, or the
 * replicas themselves, have brought some back.
 */
export class NotEnoughReplicas extends LockstepError {
  readonly _tag = "NotEnoughReplicas"
  override readonly name = "NotEnoughReplicas"
  readonly tookEffect = "no"
  readonly detail: string

  constructor(detail: string) {
    super(`${detail}. The command was not executed; try again when more replicas are up.`)
    this.detail = detail
  }
}

interface Undecided {
  readonly detail: string
  /** Equal votes that a decision takes. */
  readonly needed: number
  readonly testimonies: ReadonlyArray<Testimony>
  /** Replicas that were not heard in time. */
  readonly missing: ReadonlyArray<ReplicaId>
  /** Undefined where the command was never sent. */
  readonly command: CommandId | undefined
}

abstract class UndecidedError extends LockstepError {
  readonly needed: number
  readonly testimonies: ReadonlyArray<Testimony>
  readonly missing: ReadonlyArray<ReplicaId>
  readonly command: CommandId | undefined

  constructor(undecided: Undecided, advice: string) {
    super(`${undecided.detail} ${told(undecided)} ${advice}`)
    this.needed = undecided.needed
    this.testimonies = undecided.testimonies
    this.missing = undecided.missing
    this.command = undecided.command
  }
}

/**
 * Too few replicas gave the same answer in time; more may come back. Either the command is in the log (`seq` says where): then
 * it is executed once, or not at all if its session was evicted before, and without a quorum nobody can say. Or it was never
 * sent, because too few replicas confirmed a session for it. In both cases `client.retry(error)` settles it, and never
 * executes it twice.
 */
export class NoQuorum extends UndecidedError {
  readonly _tag = "NoQuorum"
  override readonly name = "NoQuorum"
  readonly tookEffect: "no" | "unknown"
  /** Position of the command in the log; undefined where it was never sent. */
  readonly seq: number | undefined

  constructor(undecided: Undecided & { readonly seq: number | undefined }) {
    super(
      undecided,
      undecided.seq === undefined
        ? "The command was not executed; retry(error) sends it."
        : "The command is in the log; retry(error) waits for its answer again, and never executes it twice.",
    )
    this.seq = undecided.seq
    this.tookEffect = undecided.seq === undefined ? "no" : "unknown"
  }
}

/**
 * So many replicas gave different answers that no answer can win any more: more than f of them are wrong. Call someone;
 * `testimonies` says who answered what.
 */
export class Diverged extends UndecidedError {
  readonly _tag = "Diverged"
  override readonly name = "Diverged"
  readonly tookEffect = "unknown"

  constructor(undecided: Undecided) {
    super(
      undecided,
      "More replicas are faulty than the group can mask: an operator must look; do not trust either answer.",
    )
  }
}

/**
 * Nobody can say whether the command was ordered: the log did not confirm it in time. Look at the actor's state, or
 * `client.retry(error)`, which settles the same command without executing it twice.
 */
export class OutcomeUnknown extends UndecidedError {
  readonly _tag = "OutcomeUnknown"
  override readonly name = "OutcomeUnknown"
  readonly tookEffect = "unknown"

  constructor(
    undecided: Undecided,
    advice = "It may or may not take effect; retry(error) settles it without executing it twice.",
  ) {
    super(undecided, advice)
  }
}

/** The replicas no longer remember this client's earlier commands, so they cannot tell whether this one was executed. */
export class SessionExpired extends LockstepError {
  readonly _tag = "SessionExpired"
  override readonly name = "SessionExpired"
  readonly tookEffect = "unknown"

  constructor(target: string) {
    super(
      `${target}: the session that issued this command was evicted, so nobody knows whether it was executed. Look at the actor's state before you issue it again.`,
    )
  }
}

/**
 * What an actor throws to refuse a command, and what its caller catches: the outcome that f+1 replicas agreed on. Replicas
 * vote on `code` and `data`; the message is for people and stays where it was written.
 */
export class ActorError<Code extends string = string, Data = unknown> extends LockstepError {
  readonly _tag = "ActorError"
  override readonly name = "ActorError"
  /** What the command had changed before it threw stays changed. */
  readonly tookEffect = "yes"
  readonly code: Code
  readonly data: Data

  constructor(error: { readonly code: Code; readonly data?: Data; readonly message?: string })
  constructor(code: Code, data?: Data)
  constructor(
    error: Code | { readonly code: Code; readonly data?: Data; readonly message?: string },
    data?: Data,
  ) {
    const given = typeof error === "string" ? { code: error, data, message: undefined } : error
    super(given.message ?? given.code)
    this.code = given.code
    this.data = given.data as Data // undefined where the class of error has no data
  }
}

/** The data of an {@link ActorError}, as it arrives. */
export type ActorErrorData = Canonical

function told(undecided: Undecided): string {
  const said = undecided.testimonies.map(
    ({ replica, seq, digest, outcome }) =>
      // The digest is of the whole batch: replicas that agree on this command may differ on another one.
      `${replica} answered ${outcome === undefined ? "" : `${describe(outcome)} `}(digest ${digest.slice(0, 12)}) at ${seq}`,
  )
  const silent = undecided.missing.map((replica) => `${replica} was not heard`)
  return `${undecided.needed} equal votes are needed: ${[...said, ...silent].join(", ") || "no replica was heard"}.`
}

function describe(outcome: Outcome): string {
  switch (outcome._tag) {
    case "Returned":
      return show(outcome.value)
    case "Threw":
      return `error ${outcome.code}`
    case "Refused":
      return `refused: ${outcome.reason}`
  }
}

function show(value: Canonical): string {
  const text =
    typeof value === "bigint"
      ? `${value}n`
      : (JSON.stringify(value, (_, item: unknown) => legible(item)) ?? "nothing")
  return text.length <= 60 ? text : `${text.slice(0, 57)}…`
}

/** What JSON would leave out or list byte by byte. */
function legible(item: unknown): unknown {
  if (typeof item === "bigint") return `${item}n`
  if (item instanceof Map) return { Map: [...item] }
  if (item instanceof Set) return { Set: [...item] }
  return item instanceof Uint8Array ? `${item.length} bytes` : item
}
