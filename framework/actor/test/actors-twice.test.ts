import { type ActorContext, Command, Query, Replicated } from "@lockstep/actor"
import { describe, expect, it } from "vitest"
import { mode, returned, Stage } from "./stage.ts"

// The run-twice check: what one replica does alone, and another would do otherwise.

const { random } = Math // as a module that was loaded before the guard was installed might keep it

const elsewhere = {
  count: 0,
  cache: new Map<string, number>(),
  names: new Set<string>(),
  seen: new WeakSet(),
  last: undefined as ReadonlyArray<number> | undefined,
}

@Replicated({ name: "Careless", version: 1, mode })
class Careless {
  total = 0
  list: Array<unknown> = []
  map = new Map<string, number>([["z", 0]])

  @Command()
  add(amount: number): number {
    this.list.push(amount)
    return (this.total += amount)
  }

  @Command()
  counted(): number {
    this.total += 1
    return ++elsewhere.count
  }

  @Command()
  countedInState(): string {
    this.total = ++elsewhere.count
    return "equal results"
  }

  @Command()
  cached(key: string): number {
    this.map.set(key, 1)
    const known = elsewhere.cache.get(key) ?? random()
    elsewhere.cache.set(key, known + 1)
    return known
  }

  @Command()
  orderedElsewhere(name: string): ReadonlyArray<string> {
    const order = [...elsewhere.names]
    elsewhere.names.delete(order[0] ?? "")
    elsewhere.names.add(name).add(order[0] ?? "other")
    return order
  }

  @Command()
  orderedInState(key: string): number {
    const keys = elsewhere.count++ % 2 === 0 ? [key, "other"] : ["other", key]
    for (const each of keys) this.map.set(each, 1)
    return this.map.size
  }

  @Command()
  remembersInstances(): boolean {
    const known = elsewhere.seen.has(this)
    elsewhere.seen.add(this)
    return known
  }

  @Command()
  leaks(numbers: Array<number>): number {
    elsewhere.last?.map((number) => numbers.push(number))
    elsewhere.last = numbers
    return numbers.length
  }

  @Command()
  throwsOnce(): number {
    this.total += 1
    if (elsewhere.count++ % 2 === 0) throw new TypeError("the first time")
    return this.total
  }

  @Command()
  keepsFunction(): string {
    this.total += 1
    this.list.push(() => 1)
    return "kept"
  }

  @Command()
  keepsTwice(value: Array<number>): string {
    this.total += 1
    this.list.push(value, value)
    return "kept"
  }

  @Command()
  keepsContext(context: ActorContext): string {
    this.total += 1
    this.list.push(context)
    return "kept"
  }

  @Query()
  changes(): number {
    return ++this.total
  }

  @Query()
  takes(): unknown {
    return this.list.pop()
  }

  @Query()
  look(): ReadonlyArray<unknown> {
    return [this.total, this.list, this.map]
  }
}

const RESULTS = "ran twice on equal state and gave different results: it depends on something that is not in"
const STATES = "ran twice on equal state and left different states: it depends on something that is not in"
const UNSUPPORTED = "the command was undone: state.list["
const QUERY = "is a query, and changed the actor: make it a command"

describe("a command that runs twice", () => {
  it.each<[why: string, member: string, args: ReadonlyArray<unknown>, reason: string, said: string]>([
    ["it counts in a module", "counted", [], "Nondeterminism", RESULTS],
    ["it keeps a cache in a module", "cached", ["key"], "Nondeterminism", RESULTS],
    ["it iterates over a module's set", "orderedElsewhere", ["name"], "Nondeterminism", RESULTS],
    ["it shares what it was given", "leaks", [[1, 2]], "Nondeterminism", RESULTS],
    ["it throws at times", "throwsOnce", [], "Nondeterminism", RESULTS],
    ["it leaves another field", "countedInState", [], "Nondeterminism", STATES],
    ["it leaves another order of a map", "orderedInState", ["a"], "Nondeterminism", STATES],
    ["it keeps a function", "keepsFunction", [], "StateUnsupported", UNSUPPORTED],
    ["it keeps an object twice", "keepsTwice", [[1]], "StateUnsupported", UNSUPPORTED],
    ["it keeps the context", "keepsContext", [], "StateUnsupported", UNSUPPORTED],
    ["it is a query, and changes a field", "changes", [], "QueryChangedState", QUERY],
    ["it is a query, and changes a list", "takes", [], "QueryChangedState", QUERY],
  ])("is refused and undone when %s", (_, member, args, reason, said) => {
    elsewhere.last = [3]
    elsewhere.count = 0
    const stage = careless()
    const { digest } = stage
    const detail: unknown = expect.stringContaining(said)
    expect(stage.call(Careless, member, ...args)).toEqual({ _tag: "Refused", reason, detail })
    expect(stage.digest).toBe(digest)
    expect(stage.call(Careless, "look")).toEqual(returned([8, [5, 3], new Map([["z", 0]])]))
  })

  it("is refused when it remembers the instance that it ran on, once that is another one", () => {
    const stage = careless()
    expect(stage.call(Careless, "remembersInstances")).toEqual(returned(false))
    expect(stage.call(Careless, "remembersInstances")).toMatchObject({ reason: "Nondeterminism" })
  })

  it("gets arguments of its own each time", () => {
    @Replicated({ name: "Greedy", version: 1, mode })
    class Greedy {
      kept: Array<number> = []

      @Command()
      keep(numbers: Array<number>): number {
        numbers.push(numbers.length)
        this.kept = numbers
        return numbers.length
      }

      @Command()
      grow(): ReadonlyArray<number> {
        this.kept.push(this.kept.length)
        return this.kept
      }
    }
    const stage = new Stage("checked", Greedy)
    expect(stage.call(Greedy, "keep", [7])).toEqual(returned(2))
    expect(stage.call(Greedy, "grow")).toEqual(returned([7, 1, 2]))
  })
})

describe("an actor whose command was undone", () => {
  it("is an instance of its class, with its #private methods, getters and fields in their order", () => {
    @Replicated({ name: "Whole", version: 1, mode })
    class Whole {
      first: number | undefined = 1
      second = 2
      late?: number

      constructor() {
        this.late = 3
      }

      get #sum(): number {
        return (this.first ?? 0) + this.second + (this.late ?? 0)
      }

      #double(value: number): number {
        return 2 * value
      }

      @Command()
      rearrange(): ReadonlyArray<string> {
        delete this.late
        this.first = undefined
        Object.assign(this, { added: this.#double(this.#sum), late: 9 })
        return Object.keys(this)
      }

      @Query()
      change(): number {
        Object.assign(this, { another: 1 })
        return this.#double(this.second++)
      }

      @Query()
      look(): ReadonlyArray<unknown> {
        return [this instanceof Whole, this.#double(this.#sum), ...Object.entries(this)]
      }
    }
    const stage = new Stage("checked", Whole)
    expect(stage.call(Whole, "rearrange")).toEqual(returned(["first", "second", "added", "late"]))
    const { digest } = stage
    const seen = stage.call(Whole, "look")
    expect(seen).toEqual(returned([true, 22, ["first", undefined], ["second", 2], ["added", 4], ["late", 9]]))
    expect(stage.call(Whole, "change")).toMatchObject({ reason: "QueryChangedState" })
    expect(stage.call(Whole, "look")).toEqual(seen)
    expect(stage.digest).toBe(digest)
  })

  it("has the fields that its state had, though a class may name them as it likes", () => {
    @Replicated({ name: "Odd", version: 1, mode })
    class Odd {
      ["__proto__"] = 1;
      ["constructor"] = "a field"

      @Query()
      change(): number {
        return ++this["__proto__"]
      }

      @Query()
      look(): ReadonlyArray<unknown> {
        return [this instanceof Odd, ...Object.entries(this)]
      }
    }
    const stage = new Stage("checked", Odd)
    const seen = stage.call(Odd, "look")
    expect(seen).toEqual(returned([true, ["__proto__", 1], ["constructor", "a field"]]))
    expect(stage.call(Odd, "change")).toMatchObject({ reason: "QueryChangedState" })
    expect(stage.call(Odd, "look")).toEqual(seen)
  })
})

describe("a constructor", () => {
  it.each(["guarded", "checked"] as const)("is guarded like a command, %s", (determinism) => {
    @Replicated({ name: "Dated", version: 1, mode })
    class Dated extends Callable {
      since = Math.floor(Date.now() / 1e12)
    }
    const stage = new Stage(determinism, Dated)
    expect(stage.call(Dated, "call")).toMatchObject({
      _tag: "Refused",
      reason: "Nondeterminism",
      detail: expect.stringContaining(
        'the constructor of Dated("alice") at 1 called Date.now, which differs',
      ),
    })
    expect(stage.actors.size).toBe(0)
  })

  it.each(["guarded", "checked"] as const)("that throws is the command's outcome, %s", (determinism) => {
    elsewhere.count = 0
    @Replicated({ name: "Fragile", version: 1, mode })
    class Fragile extends Callable {
      constructor() {
        super()
        if (elsewhere.count > 0) throw new RangeError("too late")
      }
    }
    const stage = new Stage(determinism, Fragile)
    elsewhere.count = 1
    expect(stage.call(Fragile, "call")).toEqual({ _tag: "Threw", code: "RangeError", data: null })
    expect(stage.actors.takeUncaught()).toHaveLength(1)
    expect(stage.actors.size).toBe(0)
  })

  it("that makes different actors, or unsupported ones, is found out when they are made", () => {
    const values: Array<unknown> = []
    @Replicated({ name: "Fickle", version: 1, mode })
    class Fickle extends Callable {
      value = values.shift()
    }
    const stage = new Stage("checked", Fickle)
    values.push(1, 2)
    expect(stage.call(Fickle, "call")).toMatchObject({
      reason: "Nondeterminism",
      detail: expect.stringContaining('two new actors like Fickle("alice") differ: it depends on something'),
    })
    values.push(() => 1, 2)
    expect(stage.call(Fickle, "call")).toMatchObject({ reason: "StateUnsupported" })
    expect(stage.call(Fickle, "call")).toEqual(returned(1))
  })
})

class Callable {
  @Query()
  call(): number {
    return 1
  }
}

function careless(): Stage {
  const stage = new Stage("checked", Careless)
  stage.call(Careless, "add", 5)
  stage.call(Careless, "add", 3)
  return stage
}
