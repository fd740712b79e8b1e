import {
  type Actors,
  BATCH_RESULT_BYTES_MAX,
  isSampled,
  type Observation,
  type Observer,
  type Position,
  type Stopwatch,
  type Target,
} from "@lockstep/actor"
import {
  type Answer,
  type Batch,
  type Command,
  ByteWriter,
  type Opening,
  type Refusal,
  SessionId,
  type SessionTable,
  SPAN_ID_LENGTH_MAX,
  traceWithin,
  VOTE_SPANS_MAX,
  type VoteSpans,
  writeRefused,
} from "@lockstep/core"
import type { Past } from "../past.ts"

/** Executes what clients put into the log, at the position that was read last: each batch once, however often it is there. */
export class Execution {
  readonly #log: string
  readonly #past: Past
  readonly #actors: Actors
  readonly #sessions: SessionTable
  readonly #observer: Observer | undefined
  readonly #stopwatch: Stopwatch | undefined
  readonly #outcomes = new ByteWriter(64 * 1024)
  /** Of answers to commands that are traced. Another replica has others: they stand beside what is replicated. */
  readonly #spans = new WeakMap<Answer, VoteSpans>()
  #executed = 0
  #repeated = 0

  constructor(options: {
    readonly log: string
    readonly past: Past
    readonly actors: Actors
    readonly sessions: SessionTable
    readonly observer: Observer | undefined
    readonly stopwatch: Stopwatch | undefined
  }) {
    this.#log = options.log
    this.#past = options.past
    this.#actors = options.actors
    this.#sessions = options.sessions
    this.#observer = options.observer
    this.#stopwatch = options.stopwatch
  }

  /** Commands that were executed. */
  get executed(): number {
    return this.#executed
  }

  /** Batches that had been executed before. */
  get repeated(): number {
    return this.#repeated
  }

  /** Where this replica tells of the commands that the answer is to. */
  spansOf(answer: Answer): VoteSpans | undefined {
    return this.#spans.get(answer)
  }

  /** A session, whose id is this position. */
  open(opening: Opening): Answer {
    const session = SessionId(this.#past.seq)
    this.#sessions.open(session, opening.client)
    return this.#answerHere(session, opening.number, 0, NO_OUTCOMES)
  }

  /** Exactly once: only a batch that was never seen is executed. One that is executed once more after a restart is not watched. */
  admit(batch: Batch, isReplayed: boolean): Answer | undefined {
    const admission = this.#sessions.admit(batch, this.#past.seq)
    switch (admission._tag) {
      case "Fresh": {
        const answer = this.#apply(
          batch,
          isReplayed ? undefined : this.#observer,
          isReplayed ? undefined : this.#stopwatch,
        )
        this.#sessions.record(answer)
        return answer
      }
      case "Answered":
        this.#repeated++
        return admission.answer
      case "Settled":
        this.#repeated++
        return undefined
      case "Expired":
        return this.#refuse(batch, "SessionExpired", "the session or the answer is no longer kept")
      case "Overlapping":
        return this.#refuse(batch, "NumberReused", "numbers of this batch belong to another one")
    }
  }

  #apply(batch: Batch, observer: Observer | undefined, stopwatch: Stopwatch | undefined): Answer {
    const writer = this.#outcomes
    writer.reset()
    const nowMs = Number(this.#past.timeNs / 1_000_000n)
    const targets = batch.methods.map(({ type, member }) => this.#actors.find(type, member))
    const { client: caller, session, number } = batch
    // one for all of them: nobody looks at it once a command has ended
    const position = { log: this.#log, seq: this.#past.seq, index: 0, nowMs, caller, session, number }
    observer?.batchBegins?.(this.#past.seq, nowMs)
    let spans: Map<number, string> | undefined
    for (let index = 0; index < batch.commands.length; index++) {
      const command = batch.commands[index] as Command // inside the bounds
      const target = targets[command.method] as Target | "UnknownActor" | "UnknownMethod" // the decoder checked the index
      if (typeof target === "string") {
        const name = batch.methods[command.method]
        // a forged batch may name it a hundred thousand times, and outcomes have a bound
        const detail =
          writer.length > BATCH_RESULT_BYTES_MAX ? "" : `this group hosts no ${name?.type}/${name?.member}`
        writeRefused(writer, target, detail)
        continue
      }
      position.index = index
      position.number = batch.number + index
      const trace = observer && traceWithin(batch, command)
      const { definition, member } = target
      const lap = stopwatch?.start()
      const start = writer.length
      if (observer === undefined || trace === undefined || !isSampled(trace)) {
        this.#actors.execute(writer, target, command, position)
        lap?.(definition.type, member, writer.view().subarray(start))
        continue
      }
      const observation = this.#observe(observer, trace, { target, command, position })
      lap?.(definition.type, member, writer.view().subarray(start))
      observation.end(writer.view().subarray(start))
      if (!isNamed(observation.span)) continue
      spans ??= new Map()
      if (spans.size < VOTE_SPANS_MAX) spans.set(index, observation.span)
    }
    this.#executed += batch.commands.length
    const answer = this.#answerHere(batch.session, batch.number, batch.commands.length, writer.take())
    if (spans !== undefined) this.#spans.set(answer, spans)
    observer?.batchEnds?.(answer.outcomes, answer.count)
    return answer
  }

  /** Executes a command that is traced. (Apart, because a function made in the loop above costs each command a context, traced or not.) */
  #observe(
    observer: Observer,
    trace: string,
    run: { readonly target: Target; readonly command: Command; readonly position: Position },
  ): Observation {
    const { target, command, position } = run
    const { key } = command
    const { type } = target.definition
    const { seq, nowMs: orderedMs } = position
    const observation = observer.begin({ trace, type, member: target.member.name, key, seq, orderedMs })
    observation.run(() => this.#actors.execute(this.#outcomes, target, command, position))
    return observation
  }

  #refuse(batch: Batch, reason: Refusal, detail: string): Answer {
    const writer = this.#outcomes
    writer.reset()
    for (let i = 0; i < batch.commands.length; i++) writeRefused(writer, reason, detail)
    return this.#answerHere(batch.session, batch.number, batch.commands.length, writer.take())
  }

  #answerHere(session: SessionId, number: number, count: number, outcomes: Buffer): Answer {
    return { seq: this.#past.seq, chain: this.#past.chain, session, number, count, outcomes }
  }
}

function isNamed(span: string | undefined): span is string {
  return span !== undefined && span.length > 0 && span.length <= SPAN_ID_LENGTH_MAX
}

const NO_OUTCOMES = Buffer.alloc(0)
