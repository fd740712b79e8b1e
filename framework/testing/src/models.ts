import { valueText } from "./history.ts"
import type { SequentialModel } from "./linearizability.ts"

/** The output of an operation, as the models read it: what the method returned, or the code of the error that it threw. */
export type MethodOutput = { readonly returned: unknown } | { readonly threw: string }

/** The answer of a method to a call, and the state that it leaves. */
export type MethodAnswer<State> = readonly [state: State, output: MethodOutput]

/** An object, method by method. A method gives undefined for arguments that it does not take. */
export interface MethodsOf<State> {
  readonly name: string
  readonly initial: () => State
  readonly methods: {
    readonly [member: string]: (state: State, args: ReadonlyArray<unknown>) => MethodAnswer<State> | undefined
  }
  /** Equal texts are equal states; left out: {@link valueText}. */
  readonly identify?: (state: State) => string
  /**
   * For an object whose states grow: whether one in this state is past returning this. Methods that can never tell are left
   * out. Only for speed, as `foresight` of {@link SequentialModel}.
   */
  readonly past?: {
    readonly [member: string]: (state: State, returned: unknown, args: ReadonlyArray<unknown>) => boolean
  }
  /** Whether a call with these arguments can only make a state grow; left out: every call does. */
  readonly isGrowth?: (args: ReadonlyArray<unknown>) => boolean
}

/**
 * The model of an object whose methods are deterministic: inputs are `[member, ...args]`, outputs {@link MethodOutput}. Results
 * are equal if they have one {@link valueText}. Asked about anything else (a method or arguments that the object does not
 * have, an output of another form), it throws TypeError: then it is not the model of this history.
 */
export function modelOfMethods<State>(object: MethodsOf<State>): SequentialModel<State> {
  const { name, initial, identify = valueText, past = {}, isGrowth = () => true } = object
  return {
    initial,
    step(state, input, output) {
      const [next, expected] = answer(object, state, input)
      if (output === undefined) return next
      if (!isMethodOutput(output)) throw new TypeError(`${name}: not an output: ${valueText(output)}`)
      return isSame(expected, output) ? next : undefined
    },
    identify,
    foresight(inputs) {
      const isGrowing = inputs.every((input) => isGrowth(call(input).args))
      return {
        isPast(state, input, output) {
          const { member, args } = call(input)
          if (!isGrowing || !Object.hasOwn(past, member)) return false
          if (!isMethodOutput(output) || !("returned" in output)) return false
          return past[member]?.(state, output.returned, args) ?? false
        },
      }
    },
  }
}

function answer<State>(
  { name, methods }: MethodsOf<State>,
  state: State,
  input: unknown,
): MethodAnswer<State> {
  const { member, args } = call(input)
  const answered = Object.hasOwn(methods, member) ? methods[member]?.(state, args) : undefined
  if (answered === undefined) throw new TypeError(`${name} has no such call: ${valueText(input)}`)
  return answered
}

function call(input: unknown): { readonly member: string; readonly args: ReadonlyArray<unknown> } {
  const [member, ...args]: ReadonlyArray<unknown> = Array.isArray(input) ? input : []
  return { member: typeof member === "string" ? member : "", args }
}

/** A number, at first 0. `add(n)` returns the sum after it; `get()` returns the sum. */
export const counterModel: SequentialModel<number> = modelOfMethods({
  name: "counter",
  initial: () => 0,
  methods: {
    add: (sum, [n]) => (typeof n === "number" ? [sum + n, { returned: sum + n }] : undefined),
    get: (sum) => [sum, { returned: sum }],
  },
  past: {
    add: (sum, returned, [n]) => isBelow(returned, sum + Number(n)),
    get: (sum, returned) => isBelow(returned, sum),
  },
  isGrowth: (args) => args.every((n) => typeof n === "number" && n >= 0),
})

/**
 * Any value, at first 0. `read()` returns it; `write(v)` returns null; `compareAndSet(expected, next)` returns whether
 * it was `expected`, and is `next` now.
 */
export const registerModel: SequentialModel<unknown> = modelOfMethods<unknown>({
  name: "register",
  initial: () => 0,
  methods: {
    read: (value) => [value, { returned: value }],
    write: (_, args) => (args.length === 1 ? [args[0], { returned: null }] : undefined),
    compareAndSet(value, args) {
      if (args.length !== 2) return undefined
      const [expected, next] = args
      const isSet = isEqual(value, expected)
      return [isSet ? next : value, { returned: isSet }]
    },
  },
})

/** The balance of each owner that has one other than zero. */
export type Balances = ReadonlyMap<string, bigint>

/**
 * A bank of several owners (bigint amounts), who have nothing at first. `deposit(owner, amount)` returns the owner's balance;
 * `transfer(from, to, amount)` returns what `from` has left, or throws `InsufficientFunds` and does nothing; `total()` returns
 * the sum of all balances.
 */
export const bankModel: SequentialModel<Balances> = modelOfMethods<Balances>({
  name: "bank",
  initial: () => new Map(),
  methods: {
    deposit(balances, [owner, amount]) {
      if (typeof owner !== "string" || typeof amount !== "bigint") return undefined
      const next = credited(balances, owner, amount)
      return [next, { returned: balanceOf(next, owner) }]
    },
    transfer(balances, [from, to, amount]) {
      if (typeof from !== "string" || typeof to !== "string" || typeof amount !== "bigint") return undefined
      if (balanceOf(balances, from) < amount) return [balances, { threw: "InsufficientFunds" }]
      const next = credited(credited(balances, from, -amount), to, amount)
      return [next, { returned: balanceOf(next, from) }]
    },
    total: (balances) => [balances, { returned: totalOf(balances) }],
  },
  past: { total: (balances, returned) => isBelow(returned, totalOf(balances)) },
  isGrowth: (args) => args.every((arg) => typeof arg !== "bigint" || arg >= 0n),
  identify: (balances) =>
    JSON.stringify([...balances].map(([owner, amount]) => `${owner}=${amount}`).toSorted()),
})

/** A list, at first empty. `append(x)` returns its new length; `read()` returns the items in order. */
export const listModel: SequentialModel<ListState> = modelOfMethods<ListState>({
  name: "list",
  initial: () => ({ id: 0, length: 0, before: undefined, last: undefined, longer: new Map() }),
  methods: {
    append(list, args) {
      if (args.length !== 1) return undefined
      const longer = appended(list, args[0])
      return [longer, { returned: longer.length }]
    },
    read: (list) => [list, { returned: itemsOf(list) }],
  },
  past: {
    append: (list, returned) => isBelow(returned, list.length + 1),
    read: (list, returned) => Array.isArray(returned) && !isBeginning(list, returned),
  },
  identify: ({ id }) => String(id),
})

/** A list as its last item and the list before it, so that neither a longer list nor its identity costs its length. */
export interface ListState {
  /** Equal lists that began with one empty list have one id. */
  readonly id: number
  readonly length: number
  readonly before: ListState | undefined
  readonly last: unknown
  /** All lists that began with this empty list, by the id of `before` and the text of `last`. It only remembers. */
  readonly longer: Map<string, ListState>
}

function appended(before: ListState, last: unknown): ListState {
  const { longer } = before
  const name = `${before.id} ${valueText(last)}`
  const known = longer.get(name)
  if (known !== undefined) return known
  const list = { id: longer.size + 1, length: before.length + 1, before, last, longer }
  longer.set(name, list)
  return list
}

function itemsOf(list: ListState): ReadonlyArray<unknown> {
  const items: Array<unknown> = []
  for (let at = list; at.before !== undefined; at = at.before) items.push(at.last)
  return items.toReversed()
}

function isBeginning(list: ListState, of: ReadonlyArray<unknown>): boolean {
  if (list.length > of.length) return false
  for (let at = list; at.before !== undefined; at = at.before)
    if (!isEqual(at.last, of[at.length - 1])) return false
  return true
}

/** What a departures board shows. */
export interface BoardState {
  readonly departures: number
  /** Flights that left 15 minutes late or more. */
  readonly delayed: number
  /** The sum of the delays: flights that left early count with less than zero. */
  readonly delayMinutes: number
}

const DELAYED_FROM_MINUTES = 15

/**
 * The departures board of an airport, at first empty. `depart({ date, delay, distance, origin, destination })` returns how many
 * flights left; `board()` returns a {@link BoardState}.
 */
export const boardModel: SequentialModel<BoardState> = modelOfMethods<BoardState>({
  name: "departures board",
  initial: () => ({ departures: 0, delayed: 0, delayMinutes: 0 }),
  methods: {
    depart(board, [flight]) {
      const delay = fieldOf(flight, "delay")
      if (typeof delay !== "number") return undefined
      const departures = board.departures + 1
      const delayed = board.delayed + (delay >= DELAYED_FROM_MINUTES ? 1 : 0)
      return [{ departures, delayed, delayMinutes: board.delayMinutes + delay }, { returned: departures }]
    },
    board: (board) => [board, { returned: board }],
  },
  past: {
    depart: ({ departures }, returned) => isBelow(returned, departures + 1),
    board: ({ departures }, returned) => isBelow(fieldOf(returned, "departures"), departures),
  },
  identify: ({ departures, delayed, delayMinutes }) => `${departures}/${delayed}/${delayMinutes}`,
})

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined
}

/** Whether this is a number (of the bound's kind) below the bound. */
function isBelow(value: unknown, bound: number | bigint): boolean {
  return typeof value === typeof bound && (value as number | bigint) < bound // as typeof tells
}

function totalOf(balances: Balances): bigint {
  return [...balances.values()].reduce((sum, balance) => sum + balance, 0n)
}

function balanceOf(balances: Balances, owner: string): bigint {
  return balances.get(owner) ?? 0n
}

function credited(balances: Balances, owner: string, amount: bigint): Balances {
  const next = new Map(balances)
  const balance = balanceOf(balances, owner) + amount
  if (balance === 0n) next.delete(owner)
  else next.set(owner, balance)
  return next
}

function isMethodOutput(output: unknown): output is MethodOutput {
  if (typeof output !== "object" || output === null || Object.keys(output).length !== 1) return false
  return "returned" in output || ("threw" in output && typeof output.threw === "string")
}

function isSame(a: MethodOutput, b: MethodOutput): boolean {
  if ("threw" in a || "threw" in b) return "threw" in a && "threw" in b && a.threw === b.threw
  return isEqual(a.returned, b.returned)
}

function isEqual(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true
  if (typeof a !== "object" || typeof b !== "object") return false
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => isEqual(item, b[index]))
  return valueText(a) === valueText(b)
}
