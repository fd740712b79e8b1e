import {
  type Batch,
  BatchWriter,
  type ClientId,
  HEADER_BYTES_MAX,
  InvalidArgument,
  invariant,
  type LockstepError,
  Overloaded,
  type SessionId,
  sliceOf,
  traceWithin,
} from "@lockstep/core"
import type { ClientLimits } from "./limits.ts"
import type { Submission } from "./mode.ts"

/** A batch that is still gathered. */
export interface Draft<Call> {
  readonly writer: BatchWriter
  /** Who waits for each command; undefined once told. */
  readonly calls: ReadonlyArray<Call | undefined>
  /** Of their arguments. */
  readonly bytes: number
  readonly deadlineMs: number
}

/** What a sealed draft is sent as. */
interface Header {
  readonly client: ClientId
  readonly session: SessionId
  readonly number: number
  readonly settledBelow: number
}

/**
 * Commands that are not yet in an entry, gathered in batches, and the bound on all that waits: here, and in flight until
 * it is released.
 */
export class Outbox<Call extends Submission> {
  readonly #limits: ClientLimits
  /** The last one is still open. */
  #drafts: Array<OpenDraft<Call>> = []
  readonly #spareWriters: Array<BatchWriter> = []
  #commands = 0
  #bytes = 0

  constructor(limits: ClientLimits) {
    this.#limits = limits
  }

  get isEmpty(): boolean {
    return this.#drafts.length === 0
  }

  /** Commands that wait, and the batches of those that were not taken out. */
  get counts(): { readonly waiting: number; readonly unsent: number } {
    return { waiting: this.#commands, unsent: this.#drafts.length }
  }

  /** Takes a command in, or says why not: then it will never be sent. */
  add(call: Call, nowMs: number): LockstepError | undefined {
    const { type, member, args } = call
    const { batchBytesMax } = this.#limits
    const length = args.end - args.start
    const bare = length + COMMAND_OVERHEAD_BYTES
    if (bare + HEADER_BYTES_MAX > batchBytesMax)
      return new InvalidArgument(
        `${type}/${member}`,
        `the arguments take ${length} bytes, and ${batchBytesMax - HEADER_BYTES_MAX - COMMAND_OVERHEAD_BYTES} are allowed`,
      )
    const { bytesMax, commandsMax } = this.#limits
    if (this.#commands >= commandsMax || this.#bytes + length > bytesMax)
      return new Overloaded(
        `${this.#commands} commands (${this.#bytes} bytes of arguments) of this client wait already; the limits are ${commandsMax} commands and ${bytesMax} bytes`,
      )
    const draft = this.#gather(call, bare, nowMs)
    draft.calls.push(call)
    draft.bytes += length
    this.hold(1, length)
    return undefined
  }

  /** Writes the command into a draft that has room for it; `size` is what it takes at most, without a long trace. */
  #gather(call: Call, size: number, nowMs: number): OpenDraft<Call> {
    const { batchBytesMax } = this.#limits
    const withTrace = size + lengthBeyond(TRACE_BYTES_SHORT, call.trace)
    // a trace is never the reason why a command cannot be sent
    const isTraced = withTrace + HEADER_BYTES_MAX <= batchBytesMax
    const draft = this.#draftFor(isTraced ? withTrace : size, nowMs)
    draft.writer.add(call.type, call.member, call.key, call.args, isTraced ? call.trace : undefined)
    return draft
  }

  #draftFor(size: number, nowMs: number): OpenDraft<Call> {
    const { batchBytesMax, batchCommandsMax, deadlineMs } = this.#limits
    let draft = this.#drafts.at(-1)
    if (
      draft === undefined ||
      draft.writer.count >= batchCommandsMax ||
      draft.writer.sizeBytes + size > batchBytesMax
    ) {
      const writer = this.#spareWriters.pop() ?? new BatchWriter()
      draft = { writer, calls: [], bytes: 0, deadlineMs: nowMs + deadlineMs }
      this.#drafts.push(draft)
    }
    return draft
  }

  /** The oldest draft, no longer open. */
  take(): Draft<Call> | undefined {
    return this.#drafts.shift()
  }

  /** The payload of a draft that was taken. */
  seal(draft: Draft<Call>, header: Header): Buffer {
    const payload = draft.writer.seal(header)
    this.#spareWriters.push(draft.writer)
    return payload
  }

  /** A batch goes out again, as if it had never been sent. */
  putBack(batch: Batch, waiting: Omit<Draft<Call>, "writer">): void {
    const writer = new BatchWriter()
    for (const command of batch.commands) {
      const method = batch.methods[command.method]
      invariant(method !== undefined, "a batch of ours names its methods")
      const args = sliceOf(command.args)
      writer.add(method.type, method.member, command.key, args, traceWithin(batch, command))
    }
    this.#drafts.unshift({ ...waiting, calls: [...waiting.calls], writer })
    this.hold(batch.commands.length, waiting.bytes)
  }

  /** Takes out the drafts whose time is over: nothing of them was ever sent. */
  expired(nowMs: number): ReadonlyArray<Draft<Call>> {
    // one that was put back may have more time than those behind it
    return this.drop((draft) => nowMs >= draft.deadlineMs)
  }

  /** Takes out drafts, all of them where nothing is said. */
  drop(isOver: (draft: Draft<Call>) => boolean = () => true): ReadonlyArray<Draft<Call>> {
    const dropped = this.#drafts.filter(isOver)
    if (dropped.length === 0) return dropped
    this.#drafts = this.#drafts.filter((draft) => !dropped.includes(draft))
    for (const draft of dropped) this.release(draft.calls.length, draft.bytes)
    return dropped
  }

  /** Counts commands that wait (again) towards the bound. */
  hold(commands: number, bytes: number): void {
    this.#commands += commands
    this.#bytes += bytes
  }

  release(commands: number, bytes: number): void {
    this.#commands -= commands
    this.#bytes -= bytes
  }
}

/** Bytes that a command takes in its batch beside its arguments, at most: key, numbers, new names, and a trace that is short. */
const COMMAND_OVERHEAD_BYTES = 2048
const TRACE_BYTES_SHORT = 64

/** Bytes of the text beyond so many. */
function lengthBeyond(bytes: number, text: string | undefined): number {
  return text === undefined ? 0 : Math.max(0, Buffer.byteLength(text) - bytes)
}

interface OpenDraft<Call> extends Draft<Call> {
  readonly calls: Array<Call | undefined>
  bytes: number
}
