import { type ActorContext, type ActorDefinition, CommandContext } from "@lockstep/actor"
import {
  ActorError,
  type Batch,
  type Canonical,
  type ClientId,
  decode,
  decodeEnvelope,
  type Entry,
  encode,
  type Envelope,
  isSameVersions,
  objectionToSchema,
  type Schema,
  type SessionId,
  type SessionLimits,
  traceWithin,
} from "@lockstep/core"
import { idOf } from "./naming.ts"
import type { Builds } from "./upgrade.ts"

/** Where a command stands in the log, and what it must come to. */
export interface Execution {
  readonly seq: number
  readonly index: number
  readonly member: string
  readonly key: string
  /** `{ returned }` or `{ threw, data }`. */
  readonly output: Output
}

/** What a call came to, as a caller sees it. */
export type Output = { readonly returned: Canonical } | { readonly threw: string; readonly data?: Canonical }

/** A rule that the actors broke. */
export interface BrokenInvariant {
  readonly invariant: string
  readonly seq: number
  readonly key: string
}

/**
 * A plain, sequential reading of a log: what one correct machine would do that never fails. It is written apart from the
 * replica that it judges, with a session table that forgets nothing it need not, and calls the class's methods directly.
 */
export class Reference {
  /** By command id, in order of execution: more than one is a command that was doubled. */
  readonly executions = new Map<string, Array<Execution>>()
  readonly broken: Array<BrokenInvariant> = []
  readonly #builds: Builds
  /** What executes from here on. */
  #definitions: ReadonlyMap<string, ActorDefinition>
  #schema: Schema = { number: 0, versions: new Map() }
  readonly #invariants: ReadonlyMap<string, (actor: object) => boolean>
  readonly #limits: Pick<SessionLimits, "sessionsMax">
  readonly #actors = new Map<string, object>()
  readonly #sessions = new Map<SessionId, SessionMemory>()
  readonly #context = new CommandContext()
  #timeNs = 0n

  constructor(options: {
    readonly builds: Builds
    readonly invariants: ReadonlyMap<string, (actor: object) => boolean>
    readonly sessionsMax: number
  }) {
    this.#builds = options.builds
    this.#definitions = options.builds.definitions[0]
    this.#invariants = options.invariants
    this.#limits = { sessionsMax: options.sessionsMax }
  }

  replay(entries: ReadonlyArray<Entry>): void {
    for (const entry of entries) {
      this.#timeNs = entry.timeNs > this.#timeNs ? entry.timeNs : this.#timeNs + 1n
      const envelope = tryDecode(entry.payload)
      if (envelope?._tag === "Opening") this.#open(envelope.client, entry.seq)
      else if (envelope?._tag === "Upgrade") this.#upgrade(envelope.schema, entry.source)
      else if (envelope?._tag === "Batch" && this.#isNew(envelope)) this.#execute(envelope, entry.seq)
    }
  }

  /** Another build executes from here on: every actor is migrated at once. */
  #upgrade(schema: Schema, source: string): void {
    if (objectionToSchema(schema, { source, current: this.#schema }) !== undefined) return
    this.#schema = schema
    const [first, next] = this.#builds.definitions
    const [, versions] = this.#builds.versions
    if (this.#definitions !== first || !isSameVersions(schema.versions, versions)) return
    this.#definitions = next
    for (const [name, actor] of this.#actors) {
      const definition = next.get(name.split("\0")[0] ?? "")
      if (definition === undefined) continue
      const migrate = definition.migrations.get(definition.version - 1)
      if (migrate === undefined) continue // this class is the same in both
      const fields = migrate({ ...actor })
      this.#actors.set(name, Object.assign(new definition.actorClass(), fields))
    }
  }

  #open(client: ClientId, seq: number): void {
    this.#sessions.set(seq as SessionId, { client, floor: 0, executed: new Set() }) // a session is named after its entry
    const [idle] = this.#sessions.keys()
    if (this.#sessions.size > this.#limits.sessionsMax && idle !== undefined) this.#sessions.delete(idle)
  }

  /** Of an open session, not settled, and without a number that was executed before. */
  #isNew(batch: Batch): boolean {
    const session = this.#sessions.get(batch.session)
    if (session === undefined || session.client !== batch.client) return false
    this.#sessions.delete(batch.session)
    this.#sessions.set(batch.session, session)
    const numbers = batch.commands.map((_, i) => batch.number + i)
    const isNew = batch.number >= session.floor && !numbers.some((number) => session.executed.has(number))
    if (isNew) for (const number of numbers) session.executed.add(number)
    session.floor = Math.max(session.floor, batch.settledBelow)
    return isNew
  }

  #execute(batch: Batch, seq: number): void {
    for (const [index, command] of batch.commands.entries()) {
      const method = batch.methods[command.method]
      const definition = method && this.#definitions.get(method.type)
      const member = method && definition?.members.get(method.member)
      if (definition === undefined || member === undefined) continue
      const { key } = command
      const trace = traceWithin(batch, command)
      const id = trace === undefined ? `${seq}/${index}` : idOf(trace)
      const actor = this.#actor(definition, key)
      const nowMs = Number(this.#timeNs / 1_000_000n)
      const { client: caller, session, number: first } = batch
      this.#context.begin({ log: "log", seq, index, nowMs, caller, session, number: first + index }, key)
      const args = decode(command.args) as ReadonlyArray<Canonical> // a client of ours sends a list
      const output = outcomeOf(() =>
        member.implementation.apply(actor, withContext(member, args, this.#context)),
      )
      this.#context.end()
      const executions = this.executions.get(id) ?? []
      this.executions.set(id, [...executions, { seq, index, member: member.name, key, output }])
      this.#check(actor, seq, key)
    }
  }

  #actor(definition: ActorDefinition, key: string): object {
    const name = `${definition.type}\0${key}`
    let actor = this.#actors.get(name)
    if (actor === undefined) this.#actors.set(name, (actor = new definition.actorClass()))
    return actor
  }

  #check(actor: object, seq: number, key: string): void {
    for (const [invariant, holds] of this.#invariants)
      if (!holds(actor)) this.broken.push({ invariant, seq, key })
  }
}

interface SessionMemory {
  readonly client: ClientId
  floor: number
  readonly executed: Set<number>
}

function withContext(
  member: { readonly args: unknown; readonly parameters: number },
  args: ReadonlyArray<Canonical>,
  context: ActorContext,
): Array<unknown> {
  return member.args !== undefined || args.length < member.parameters ? [...args, context] : [...args]
}

/** What a method came to, as it was at that moment: the actor may change its own objects later. */
function outcomeOf(run: () => unknown): Output {
  try {
    return { returned: decode(encode(run())) }
  } catch (error) {
    if (error instanceof ActorError) return { threw: error.code, data: decode(encode(error.data)) }
    return { threw: error instanceof Error ? error.name : "NonError", data: null }
  }
}

function tryDecode(payload: Uint8Array): Envelope | undefined {
  try {
    return decodeEnvelope(payload)
  } catch {
    return undefined // not an envelope: every replica ignores it
  }
}
