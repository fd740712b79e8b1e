import {
  bankModel,
  boardModel,
  counterModel,
  listModel,
  type MethodOutput,
  type Operation,
  Random,
  registerModel,
  type SequentialModel,
} from "@lockstep/testing"
import fc from "fast-check"

/** A real object, which is called one at a time, and the model that should know it. */
export interface SequentialObject {
  readonly model: SequentialModel<unknown>
  create(): (input: ReadonlyArray<unknown>) => MethodOutput
  input(random: Random): ReadonlyArray<unknown>
  /** What an object like this might return or throw, right or wrong. */
  output(random: Random): MethodOutput
}

/** How much {@link happened} makes happen. */
export interface Load {
  readonly clients: number
  /** Of each client. */
  readonly calls: number
  /** The share of operations whose outcome is unknown; half of them did not happen. */
  readonly lost: number
}

/**
 * A history of calls that took effect in one object, one at a time, at some moment between their call and return. So it is
 * linearizable, whatever the model says.
 */
export function happened(random: Random, object: SequentialObject, load: Load): ReadonlyArray<Operation> {
  const spans: Array<Span> = []
  for (let client = 0; client < load.clients; client++) {
    let now = random.real()
    for (let i = 0; i < load.calls; i++) {
      const [call, at] = [now, now + random.exponential(1)]
      const end = at + random.exponential(1)
      now = end + random.exponential(0.5)
      const fate = random.chance(load.lost) ? random.pick(["lost", "never"] as const) : "known"
      spans.push({ client: `c${client}`, call, at, return: end, input: object.input(random), fate })
    }
  }
  return outcomes(object, spans)
}

/** Up to seven calls of an object, with answers that are right, or of which up to two were replaced. */
export function small(object: SequentialObject): fc.Arbitrary<ReadonlyArray<Operation>> {
  const span = fc.record({
    call: fc.nat(8),
    until: fc.nat(3),
    from: fc.nat(3),
    seed: fc.nat(),
    fate: fc.constantFrom("known", "known", "known", "lost", "never"),
  })
  const replaced = fc.array(fc.record({ at: fc.nat(6), seed: fc.nat() }), { maxLength: 2 })
  return fc.tuple(fc.array(span, { minLength: 1, maxLength: 7 }), replaced).map(([parts, wrong]) => {
    const spans = parts.map(({ call, until, from, seed, fate }, i): Span => {
      const [at, input] = [call + until, object.input(new Random(seed))]
      return { client: `c${i}`, call, at, return: at + from, input, fate }
    })
    const right = outcomes(object, spans)
    return wrong.reduce((operations, { at, seed }) => {
      const one = operations[at]
      if (one?.return === undefined) return operations
      return operations.with(at, { ...one, output: object.output(new Random(seed)) })
    }, right)
  })
}

/** A call, its moment, and what became of it: its answer known or lost, or never made. */
interface Span extends Omit<Operation, "key" | "output" | "return"> {
  readonly at: number
  readonly return: number
  readonly input: ReadonlyArray<unknown>
  readonly fate: "known" | "lost" | "never"
}

function outcomes(object: SequentialObject, spans: ReadonlyArray<Span>): ReadonlyArray<Operation> {
  const execute = object.create()
  return spans
    .toSorted((a, b) => a.at - b.at)
    .map(({ client, call, return: end, input, fate }) => {
      const output = fate === "never" ? undefined : execute(input)
      return fate === "known"
        ? { client, key: "k", call, return: end, input, output }
        : { client, key: "k", call, return: undefined, input, output: undefined }
    })
}

function methods(
  create: () => { readonly [member: string]: (...args: ReadonlyArray<never>) => unknown },
): () => (input: ReadonlyArray<unknown>) => MethodOutput {
  return () => {
    const object = create()
    return ([member, ...args]) => {
      try {
        return { returned: Reflect.apply(object[String(member)] ?? create, undefined, args) }
      } catch (error) {
        return { threw: error instanceof Error ? error.message : "?" }
      }
    }
  }
}

const returned = (value: unknown): MethodOutput => ({ returned: value })

const counter: SequentialObject = {
  model: counterModel,
  create: methods(() => {
    let sum = 0
    return { add: (n: number) => (sum += n), get: () => sum }
  }),
  input: (random) => (random.chance(0.6) ? ["add", random.integer(1, 3)] : ["get"]),
  output: (random) => returned(random.integer(0, 8)),
}

/** It grows and shrinks, so no answer is past for good. */
const upAndDown: SequentialObject = {
  ...counter,
  input: (random) => (random.chance(0.6) ? ["add", random.integer(-2, 2)] : ["get"]),
  output: (random) => returned(random.integer(-3, 3)),
}

const register: SequentialObject = {
  model: registerModel,
  create: methods(() => {
    let value = 0
    return {
      read: () => value,
      write(next: number) {
        value = next
        return null
      },
      compareAndSet(expected: number, next: number) {
        if (value !== expected) return false
        value = next
        return true
      },
    }
  }),
  input(random) {
    const [a, b] = [random.integer(0, 2), random.integer(0, 2)]
    return random.pick([["read"], ["read"], ["write", a], ["compareAndSet", a, b]])
  },
  output: (random) => returned(random.pick([0, 1, 2, null, true, false])),
}

const list: SequentialObject = {
  model: listModel,
  create: methods(() => {
    const items: Array<unknown> = []
    return { append: (item: unknown) => items.push(item), read: () => [...items] }
  }),
  input: (random) => (random.chance(0.6) ? ["append", random.integer(1, 4)] : ["read"]),
  output: (random) =>
    returned(
      random.chance(0.5) ? random.integer(1, 4) : random.shuffle([1, 2, 3]).slice(random.integer(0, 3)),
    ),
}

const bank: SequentialObject = {
  model: bankModel,
  create: methods(() => {
    const balances: Record<string, bigint> = { ada: 0n, bob: 0n }
    const add = (owner: string, amount: bigint): bigint =>
      (balances[owner] = (balances[owner] ?? 0n) + amount)
    return {
      deposit: add,
      transfer(from: string, to: string, amount: bigint) {
        if ((balances[from] ?? 0n) < amount) throw new Error("InsufficientFunds")
        add(from, -amount)
        add(to, amount)
        return balances[from]
      },
      total: () => Object.values(balances).reduce((sum, balance) => sum + balance, 0n),
    }
  }),
  input(random) {
    const [from, to, amount] = [
      random.pick(["ada", "bob"]),
      random.pick(["ada", "bob"]),
      BigInt(random.integer(1, 4)),
    ]
    return random.pick([["deposit", from, amount], ["transfer", from, to, amount], ["total"]])
  },
  output: (random) =>
    random.chance(0.2) ? { threw: "InsufficientFunds" } : returned(BigInt(random.integer(0, 8))),
}

const board: SequentialObject = {
  model: boardModel,
  create: methods(() => {
    const delays: Array<number> = []
    return {
      depart: ({ delay }: { readonly delay: number }) => delays.push(delay),
      board: () => ({
        departures: delays.length,
        delayed: delays.filter((delay) => delay >= 15).length,
        delayMinutes: delays.reduce((sum, delay) => sum + delay, 0),
      }),
    }
  }),
  input: (random) => (random.chance(0.6) ? ["depart", { delay: random.pick([-5, 10, 15, 20]) }] : ["board"]),
  output(random) {
    const [departures, delayed] = [random.integer(0, 4), random.integer(0, 2)]
    return returned(random.chance(0.5) ? departures : { departures, delayed, delayMinutes: 20 * delayed })
  },
}

/** One of each model, with few different values, so that their calls meet. */
export const OBJECTS = { counter, "counter that goes up and down": upAndDown, register, list, bank, board }
