import { Calls, NONE } from "./calls.ts"
import { type Operation, requireOperation } from "./history.ts"

/**
 * What an object does when it is called by one client at a time. States are immutable values, and never undefined. A step
 * depends on its arguments alone.
 */
export interface SequentialModel<State, Input = unknown, Output = unknown> {
  /** The state of an object that nobody called yet. */
  initial(key: string): State
  /**
   * The state after this call, or undefined if an object in this state does not answer it with this output. An output that is
   * undefined is unknown: any is possible, so there is always a next state.
   */
  step(state: State, input: Input, output: Output | undefined): State | undefined
  /** Equal texts are equal states, among the states of one key. */
  identify(state: State): string
  /**
   * May be left out: it only makes histories with many indeterminate operations quicker to judge. Given the inputs of all calls
   * of a key, what can be told of states that these calls lead to.
   */
  foresight?(inputs: ReadonlyArray<Input>): Foresight<State, Input, Output>
}

/** What some states exclude for good, such as a smaller sum where a counter only grows. */
export interface Foresight<State, Input = unknown, Output = unknown> {
  /** True only if no calls, in any order, lead from this state to one that answers `input` with `output`. */
  isPast(state: State, input: Input, output: Output): boolean
}

/** Whether the operations of every key could have been done one at a time, each at some moment between its call and return. */
export type Verdict =
  | {
      readonly _tag: "Linearizable"
      /** How many there were. */
      readonly operations: number
      /** How often the model was asked. */
      readonly steps: number
    }
  | {
      readonly _tag: "NotLinearizable"
      /** The first key, in the order of their texts, that is not. */
      readonly key: string
      /** The linearization that placed the most of the operations that returned, of those that were tried. */
      readonly longest: ReadonlyArray<Operation>
      /** The operations that returned and could be next by their times: the model refuses them all after `longest`. */
      readonly stuck: ReadonlyArray<Operation>
    }
  | {
      /** Nothing is known of this key, and no other key is NotLinearizable. */
      readonly _tag: "OutOfSteps"
      readonly key: string
      /** How often the model was asked about this key. */
      readonly steps: number
    }

/**
 * Judges a history (Herlihy & Wing 1990) by its calls and returns alone. The search is that of Wing & Gong 1993 with the
 * memory of Lowe 2017 and the partition by key of Horn & Kroening 2015, as in Porcupine. An operation that returned at
 * the moment another was called overlaps it. Operations without a return may be placed or left out.
 *
 * `stepsMax` bounds how often the model is asked about one key (or a few times more), by default a million. The problem is
 * NP-complete: a search grows with 2^(operations that overlap), and with 2^(indeterminate operations that differ).
 *
 * Throws TypeError for an operation that {@link writeHistory} would refuse.
 */
export function checkLinearizability<State, Input, Output>(
  operations: ReadonlyArray<Operation<Input, Output>>,
  model: SequentialModel<State, Input, Output>,
  options: { readonly stepsMax?: number } = {},
): Verdict {
  let steps = 0
  let unfinished: Verdict | undefined
  for (const [key, ofKey] of partition(operations)) {
    const search = new Search(key, ofKey, model)
    const verdict = search.run(options.stepsMax ?? STEPS_MAX)
    if (verdict._tag === "NotLinearizable") return verdict
    if (verdict._tag === "OutOfSteps") unfinished ??= verdict
    steps += search.steps
  }
  return unfinished ?? { _tag: "Linearizable", operations: operations.length, steps }
}

const STEPS_MAX = 1_000_000
/** How many indeterminate operations in a row are tried, before any number is, each with this share of the steps. */
const FEW_IN_A_ROW = [1, 2]
const SHARE_OF_FEW = 1 / 4
/** At how many of the next calls foresight looks. */
const LOOKED_AT = 12

function partition<Input, Output>(
  operations: ReadonlyArray<Operation<Input, Output>>,
): ReadonlyArray<[string, ReadonlyArray<Operation<Input, Output>>]> {
  for (const operation of operations) requireOperation(operation)
  const partitions = Map.groupBy(operations, ({ key }) => key)
  return [...partitions].toSorted(([a], [b]) => (a < b ? -1 : 1))
}

/**
 * Some operations, done one at a time, and the state they led to. The operations that returned are kept by their rank in the
 * order of returns: all below `first` are placed, and those of `ahead`. The rest overlap the return of `first`.
 */
interface Configuration<State> {
  /** Undefined where nothing was placed yet. */
  readonly before: Configuration<State> | undefined
  /** The call that was placed last; none: {@link NONE}. */
  readonly placed: number
  readonly state: State
  /** The state's text. */
  readonly text: string
  /** Number of the ranks that are placed without a gap. */
  readonly first: number
  /** Ranks that are placed above `first`, ascending. */
  readonly ahead: ReadonlyArray<number>
  /** Which of the indeterminate operations are placed: a bit each. */
  readonly spent: bigint
  /** How many of them were placed last, without one between that returned. */
  readonly run: number
}

/** The search of one key, depth first. */
class Search<State, Input, Output> {
  steps = 0
  readonly #key: string
  readonly #model: SequentialModel<State, Input, Output>
  readonly #calls: Calls<Input, Output>
  readonly #foresight: Foresight<State, Input, Output> | undefined
  /** What was spent where these operations were placed and led to this state, by the text of both. */
  readonly #visited = new Map<string, Array<bigint>>()
  #runMax = 0
  #isCut = false

  constructor(
    key: string,
    operations: ReadonlyArray<Operation<Input, Output>>,
    model: SequentialModel<State, Input, Output>,
  ) {
    this.#key = key
    this.#model = model
    this.#calls = new Calls(operations)
    this.#foresight = model.foresight?.(operations.map(({ input }) => input))
  }

  /**
   * Most linearizations need few indeterminate operations at one point, so those with few are sought first; only the last
   * pass, without a bound, can tell that there is none at all.
   */
  run(stepsMax: number): Verdict {
    for (const runMax of FEW_IN_A_ROW) {
      const verdict = this.#pass(runMax, this.steps + stepsMax * SHARE_OF_FEW)
      if (verdict._tag === "Linearizable" || (verdict._tag === "NotLinearizable" && !this.#isCut))
        return verdict
    }
    return this.#pass(Infinity, stepsMax)
  }

  #pass(runMax: number, stepsMax: number): Verdict {
    const calls = this.#calls
    this.#visited.clear()
    calls.clear()
    this.#runMax = runMax
    this.#isCut = false
    const initial = this.#initial()
    const path = [this.#successors(initial)]
    let here = initial
    let longest = initial
    while (here.first < calls.returned) {
      if (this.steps >= stepsMax) return { _tag: "OutOfSteps", key: this.#key, steps: this.steps }
      const next = path.at(-1)?.next()
      if (next === undefined) return this.#notLinearizable(longest)
      if (next.done === true) {
        path.pop()
        if (here.before === undefined) continue
        calls.restore(here.placed)
        here = here.before
      } else {
        here = next.value
        if (returnedIn(here) > returnedIn(longest)) longest = here
        calls.remove(here.placed)
        path.push(this.#successors(here))
      }
    }
    return { _tag: "Linearizable", operations: calls.count, steps: this.steps }
  }

  #initial(): Configuration<State> {
    const state = this.#model.initial(this.#key)
    const text = this.#model.identify(state)
    return { before: undefined, placed: NONE, state, text, first: 0, ahead: [], spent: 0n, run: 0 }
  }

  /**
   * First what only looked, then what changed the state, the soonest return first, and last the operations that may not have
   * happened at all.
   */
  *#successors(here: Configuration<State>): Generator<Configuration<State>> {
    const changes: Array<Configuration<State>> = []
    const calls = this.#calls
    for (const id of calls.open(here.first)) {
      const there = this.#place(here, id)
      if (there === undefined) continue
      if (there.text !== here.text) changes.push(there)
      else if (this.#isNew(there)) yield there
    }
    changes.sort((a, b) => calls.rank(a.placed) - calls.rank(b.placed))
    for (const there of changes) if (this.#isNew(there)) yield there
    for (const id of calls.openIndeterminate(here.first)) {
      if (here.run >= this.#runMax) {
        this.#isCut = true
        return
      }
      const there = this.#spend(here, id)
      if (!this.#isHidden(here, there) && !this.#isHopeless(there.state) && this.#isNew(there)) yield there
    }
  }

  /** After an operation that returned; undefined if the model refuses it. */
  #place(here: Configuration<State>, id: number): Configuration<State> | undefined {
    const state = this.#step(here.state, id)
    if (state === undefined) return undefined
    const { first, ahead } = withRank(here, this.#calls.rank(id))
    const text = this.#model.identify(state)
    return { before: here, placed: id, state, text, first, ahead, spent: here.spent, run: 0 }
  }

  /** After an indeterminate operation. */
  #spend(here: Configuration<State>, id: number): Configuration<State> {
    const state = this.#step(here.state, id)
    if (state === undefined) throw new TypeError("a model answers every call, if any answer is right")
    const { first, ahead, run } = here
    const spent = here.spent | (1n << BigInt(id - this.#calls.returned))
    const text = this.#model.identify(state)
    return { before: here, placed: id, state, text, first, ahead, spent, run: run + 1 }
  }

  #step(state: State, id: number): State | undefined {
    this.steps++
    const { input, output } = this.#calls.operation(id)
    return this.#model.step(state, input, output)
  }

  /**
   * Whether the indeterminate call just before this indeterminate one left no trace, as a write under another write. Then the
   * search without it comes to the same state, and can still place it later.
   */
  #isHidden(here: Configuration<State>, { placed, text }: Configuration<State>): boolean {
    if (here.before === undefined || here.run === 0) return false
    const without = this.#step(here.before.state, placed)
    return without !== undefined && this.#model.identify(without) === text
  }

  /** Whether one of the next calls can never be answered as it was. */
  #isHopeless(state: State): boolean {
    const foresight = this.#foresight
    if (foresight === undefined) return false
    return this.#calls.first(LOOKED_AT).some((id) => {
      const { input, output } = this.#calls.operation(id)
      return output !== undefined && foresight.isPast(state, input, output)
    })
  }

  /** Whoever comes to the same point with more of the indeterminate operations spent can do nothing that others could not. */
  #isNew({ first, ahead, text, spent }: Configuration<State>): boolean {
    const point = `${first}:${ahead.join()}:${text}`
    const visits = this.#visited.get(point)
    if (visits === undefined) this.#visited.set(point, [spent])
    else if (visits.some((visit) => (visit & spent) === visit)) return false
    else visits.push(spent)
    return true
  }

  #notLinearizable(longest: Configuration<State>): Verdict {
    const calls = this.#calls
    const placed: Array<number> = []
    for (let at = longest; at.before !== undefined; at = at.before) placed.push(at.placed)
    calls.clear()
    for (const id of placed) calls.remove(id)
    const stuck = calls.open(longest.first).map((id) => calls.operation(id))
    const order = placed.toReversed().map((id) => calls.operation(id))
    return { _tag: "NotLinearizable", key: this.#key, longest: order, stuck }
  }
}

function returnedIn({ first, ahead }: Configuration<unknown>): number {
  return first + ahead.length
}

function withRank(
  { first, ahead }: Configuration<unknown>,
  rank: number,
): { readonly first: number; readonly ahead: ReadonlyArray<number> } {
  if (rank !== first) {
    const place = ahead.findIndex((other) => other > rank)
    return { first, ahead: ahead.toSpliced(place === -1 ? ahead.length : place, 0, rank) }
  }
  let gap = 0
  while (ahead[gap] === first + 1 + gap) gap++
  return { first: first + 1 + gap, ahead: ahead.slice(gap) }
}
