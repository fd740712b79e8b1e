import { setTimeout as sleep } from "node:timers/promises"
import type {
  List as TestedList,
  MethodOutput,
  Operation,
  Random,
  Register as TestedRegister,
} from "@lockstep/testing"
import { type ActorClass, type Client, LockstepError, NoQuorum, OutcomeUnknown } from "lockstep"

/** Calls of one key, about: then another key takes its place, so that each can be judged by itself. */
const CALLS_PER_KEY = 120
const KEYS_AT_A_TIME = 4
/** How long a command that ended undecided is asked for again, from its call on. */
const RETRY_MS_MAX = 45_000
/** A call that has not ended by then never will. */
const HUNG_MS = 120_000

export type Act = readonly [member: string, ...args: ReadonlyArray<number>]

/** What is called, how, and what may come of it. */
export interface WorkloadOptions {
  readonly actors: Actors
  readonly callersPerClient: number
  /** Between two calls of a caller. */
  readonly pauseMsMean: number
  /** How many of the calls are of lists. */
  readonly listShare: number
  /** How many of the commands that ended undecided are asked for again. */
  readonly retryChance: number
  /** Errors that a caller can be told while no more is faulty than the group masks, by their tags. */
  readonly plausible: ReadonlySet<string>
}

interface Actors {
  readonly List: ActorClass<TestedList>
  readonly Register: ActorClass<TestedRegister>
}

/** What callers did, as they saw it. */
export class Workload {
  /** Operations that returned, and those that are indeterminate. */
  readonly operations: Array<Operation<Act, MethodOutput>> = []
  /** What was promised not to have taken effect. */
  readonly refused: Array<{ readonly key: string; readonly input: Act; readonly error: string }> = []
  /** When calls returned, ascending. */
  readonly answeredAtMs: Array<number> = []
  /** Errors that f faulty replicas and one faulty server do not explain. */
  readonly unexplained: Array<string> = []
  /** How often a call ended undecided, and how often it was asked for again then. */
  undecided = 0
  retried = 0
  readonly #options: WorkloadOptions
  readonly #keys: Keys
  readonly #callers: ReadonlyArray<Caller>
  readonly #callings: ReadonlyArray<Promise<void>>
  #stopped = false

  constructor(clients: ReadonlyArray<Client>, random: Random, options: WorkloadOptions) {
    this.#options = options
    const { callersPerClient } = options
    const keys = new Keys(random.fork("keys"))
    this.#keys = keys
    this.#callers = clients.flatMap((client, i) =>
      Array.from({ length: callersPerClient }, (_, j) => {
        const ordinal = i * callersPerClient + j
        const counts = { answered: 0, issued: 0 }
        return {
          ordinal,
          name: `client-${i}/${j}`,
          client,
          random: random.fork(`${ordinal}`),
          keys,
          ...counts,
        }
      }),
    )
    this.#callings = this.#callers.map((caller) => this.#run(caller))
  }

  get indeterminate(): number {
    return this.operations.length - this.answeredAtMs.length
  }

  /** How many calls each caller got answered. */
  #answered(): ReadonlyMap<string, number> {
    return new Map(this.#callers.map(({ name, answered }) => [name, answered]))
  }

  /** How many calls were answered, by client. */
  get byClient(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>()
    for (const { name, answered } of this.#callers) {
      const [client = ""] = name.split("/")
      counts.set(client, (counts.get(client) ?? 0) + answered)
    }
    return counts
  }

  /** Resolves when every caller got this many answers more, or when the time is over. */
  async progress(answers: number, timeMsMax: number): Promise<ReadonlyMap<string, number>> {
    const before = this.#answered()
    const since = (): ReadonlyMap<string, number> =>
      new Map(this.#callers.map(({ name, answered }) => [name, answered - (before.get(name) ?? 0)]))
    const deadline = performance.now() + timeMsMax
    while (performance.now() < deadline && [...since().values()].some((count) => count < answers))
      await sleep(20)
    return since()
  }

  /** The longest time in which nobody was answered, within these times, milliseconds. */
  longestGapMs(fromMs: number, toMs: number): number {
    const within = this.answeredAtMs.filter((at) => at > fromMs && at < toMs)
    return Math.max(...[...within, toMs].map((at, i) => at - (within[i - 1] ?? fromMs)))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#callings)
  }

  /** Reads every key once more, when all callers have stopped. Rejects if one cannot be read. */
  async readAll(): Promise<void> {
    const [first] = this.#callers
    if (first === undefined) throw new Error("there are no callers")
    for (const key of this.#keys.all) {
      const call = performance.now()
      const ending = await this.#end(first.client, readOf(this.#options.actors, first.client, key).invoke, {
        call,
        retryChance: 1,
        random: first.random,
      })
      if (ending._tag !== "Answered") throw new Error(`${key} could not be read: ${ending._tag}`)
      const { returned } = ending
      const operation = { client: "last-reader", key, input: ["read"], output: { returned } } as const
      this.operations.push({ ...operation, call, return: performance.now() })
      this.answeredAtMs.push(performance.now())
    }
  }

  async #run(caller: Caller): Promise<void> {
    while (!this.#stopped) {
      const { key, input, invoke } = draw(caller, this.#options)
      const call = performance.now()
      const { retryChance } = this.#options
      const ending = await this.#end(caller.client, invoke, { call, retryChance, random: caller.random })
      const at = performance.now()
      const operation = { client: caller.name, key, call, input }
      switch (ending._tag) {
        case "Answered": {
          const { returned } = ending
          this.operations.push({ ...operation, return: at, output: { returned } })
          this.answeredAtMs.push(at)
          caller.answered++
          caller.keys.remember(key, input, returned)
          break
        }
        case "Refused":
          this.refused.push({ key, input, error: ending.error })
          break
        case "Indeterminate":
          this.operations.push({ ...operation, return: undefined, output: undefined })
      }
      await sleep(caller.random.exponential(this.#options.pauseMsMean))
    }
  }

  /** Calls, and asks again for as long as nobody can say what became of the call. */
  async #end(
    client: Client,
    invoke: () => Promise<unknown>,
    how: { readonly call: number; readonly retryChance: number; readonly random: Random },
  ): Promise<Ending> {
    let attempt = invoke()
    for (;;) {
      const ending = await notHung(
        attempt.then(asAnswer, (error: unknown) => ({ _tag: "Failed", error }) as const),
      )
      if (ending._tag === "Answered") return ending
      if (ending._tag === "Hung") {
        this.unexplained.push(`a call did not end within ${HUNG_MS / 1000} s`)
        return { _tag: "Indeterminate" }
      }
      const { error } = ending
      const isUndecided = error instanceof NoQuorum || error instanceof OutcomeUnknown
      if (isUndecided) this.undecided++
      const isTime = performance.now() - how.call < RETRY_MS_MAX
      if (isUndecided && error.tookEffect === "unknown" && isTime && how.random.chance(how.retryChance)) {
        this.retried++
        attempt = client.retry(error)
        continue
      }
      if (!isUndecided && !this.#isPlausible(error)) this.unexplained.push(String(error))
      return error instanceof LockstepError && error.tookEffect === "no"
        ? { _tag: "Refused", error: String(error) }
        : { _tag: "Indeterminate" }
    }
  }

  #isPlausible(error: unknown): boolean {
    return error instanceof LockstepError && this.#options.plausible.has(error._tag)
  }
}

interface Caller {
  readonly ordinal: number
  readonly name: string
  readonly client: Client
  readonly random: Random
  readonly keys: Keys
  answered: number
  issued: number
}

type Ending =
  | { readonly _tag: "Answered"; readonly returned: unknown }
  | { readonly _tag: "Refused"; readonly error: string }
  | { readonly _tag: "Indeterminate" }

interface Drawn {
  readonly key: string
  readonly input: Act
  readonly invoke: () => Promise<unknown>
}

/** The next call: every item and every value occurs once only. */
function draw(caller: Caller, { actors, listShare }: WorkloadOptions): Drawn {
  const { client, keys, random, ordinal } = caller
  const unique = ++caller.issued * 1000 + ordinal
  if (random.chance(listShare)) {
    const key = keys.next("list")
    if (random.chance(0.08)) return readOf(actors, client, key)
    const list = client.actor(actors.List, key)
    return { key, input: ["append", unique], invoke: () => list.append(unique) }
  }
  const key = keys.next("register")
  const register = client.actor(actors.Register, key)
  switch (random.pick(["read", "write", "compareAndSet", "compareAndSet"] as const)) {
    case "read":
      return readOf(actors, client, key)
    case "write":
      return { key, input: ["write", unique], invoke: () => register.write(unique) }
    case "compareAndSet": {
      const expected = keys.value(key)
      return {
        key,
        input: ["compareAndSet", expected, unique],
        invoke: () => register.compareAndSet(expected, unique),
      }
    }
  }
}

function readOf({ List, Register }: Actors, client: Client, key: string): Drawn {
  const invoke = key.startsWith("list")
    ? () => client.actor(List, key).read()
    : () => client.actor(Register, key).read()
  return { key, input: ["read"], invoke }
}

/** A few keys at a time, and what callers know of them. */
class Keys {
  readonly #random: Random
  readonly #all = new Set<string>()
  /** The value that was last seen in each register. */
  readonly #values = new Map<string, number>()
  readonly #calls = new Map<string, number>()

  constructor(random: Random) {
    this.#random = random
  }

  next(kind: "list" | "register"): string {
    const slot = `${kind}-${this.#random.integer(0, KEYS_AT_A_TIME - 1)}`
    const calls = this.#calls.get(slot) ?? 0
    this.#calls.set(slot, calls + 1)
    const key = `${slot}-${Math.floor(calls / CALLS_PER_KEY)}`
    this.#all.add(key)
    return key
  }

  /** Every key that was called. */
  get all(): Iterable<string> {
    return this.#all
  }

  value(key: string): number {
    return this.#values.get(key) ?? 0
  }

  remember(key: string, [member, first, second]: Act, returned: unknown): void {
    const value = member === "read" ? returned : member === "write" ? first : returned === true && second
    if (typeof value === "number") this.#values.set(key, value)
  }
}

function asAnswer(returned: unknown) {
  return { _tag: "Answered", returned } as const
}

async function notHung<Value>(promise: Promise<Value>): Promise<Value | { readonly _tag: "Hung" }> {
  const timeout = new AbortController()
  const hung = sleep(HUNG_MS, { _tag: "Hung" } as const, { signal: timeout.signal, ref: false })
  try {
    return await Promise.race([promise, hung])
  } finally {
    timeout.abort()
    hung.catch(() => undefined)
  }
}
