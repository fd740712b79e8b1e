import nodeCrypto from "node:crypto"
import { syncBuiltinESMExports } from "node:module"
import os from "node:os"
import timers from "node:timers"

/** A command asked the world something that another replica would answer differently. */
export class Nondeterminism extends Error {
  readonly _tag = "Nondeterminism"
  override readonly name = "Nondeterminism"
  /** What it called, such as `Date.now`. */
  readonly call: string

  constructor(call: string, where: string, remedy: string) {
    super(`${where} called ${call}, which differs from replica to replica: ${remedy}`)
    this.call = call
  }
}

/**
 * The guard around a running command. The ambient functions are patched in place, once per process, and look at one
 * module variable: about 10 ns for everybody else. (AsyncLocalStorage costs 215 ns; a vm context makes Math 100× slower.)
 */
export const guard = {
  /** Patches the globals. Any number of calls patch once. */
  install(): void {
    if (installed) return
    installed = true
    patchGlobals()
  },

  enter(where: Where): void {
    running = where
    violation = undefined
  },

  /** The end of the command, and what it did wrong, even if it caught the error. */
  leave(): Nondeterminism | undefined {
    running = undefined
    return violation
  },

  /** Runs what no call of its own makes happen, such as the second run of a command that is checked: what was admitted stays silent. */
  silently<Result>(run: () => Result): Result {
    const before = isSilent
    isSilent = true
    try {
      return run()
    } finally {
      isSilent = before
    }
  },

  /**
   * Lets commands call methods of an object, or of its class, that use clocks and chance, and answer nothing that matters. `instead` is what happens while
   * a command runs, or is silent; elsewhere they are themselves. Any number of calls admit once.
   */
  admit(owner: object, members: ReadonlyArray<string>, instead: Admitted): void {
    for (const member of members) {
      const [holder, descriptor] = find(owner, member)
      const original: unknown = descriptor?.value
      if (holder === undefined || descriptor?.configurable !== true || typeof original !== "function")
        continue
      if (admitted.has(original)) continue
      const wrapped = replace(
        holder,
        member,
        (callable) =>
          function (...args) {
            if (running === undefined && !isSilent) return Reflect.apply(callable, this, args)
            return instead({
              self: this,
              args,
              isSilent,
              original: (others = args) => unguarded(() => Reflect.apply(callable, this, others)),
            })
          },
      )
      if (wrapped !== undefined) admitted.add(wrapped)
    }
  },
}

/** What a command calls instead of a method that was admitted. */
export type Admitted = (call: {
  readonly self: unknown
  readonly args: ReadonlyArray<unknown>
  /** Nothing is to be told. */
  readonly isSilent: boolean
  /** The method itself, without the guard, with these arguments or others. */
  readonly original: (args?: ReadonlyArray<unknown>) => unknown
}) => unknown

const admitted = new WeakSet<object>()
let isSilent = false

/** What tells and answers nothing may use clocks and timers to do it. */
function unguarded<Result>(run: () => Result): Result {
  const where = running
  running = undefined
  try {
    return run()
  } finally {
    running = where
  }
}

/** Names the running command. A function, because the name is only needed when something is wrong. */
export type Where = () => string

let installed = false
let running: Where | undefined
let violation: Nondeterminism | undefined

function refuse(call: string, remedy: string): never {
  const error = new Nondeterminism(call, running?.() ?? "a command", remedy)
  violation ??= error // the first one is the cause
  throw error
}

const CLOCK = "use context.now"
const CHANCE = "use context.random() or context.uuid()"
const LATER = "a command is synchronous and has no timers"
const OUTSIDE = "a command cannot reach the outside world"
const MACHINE = "pass it as an argument"
const GARBAGE = "nobody knows when garbage is collected"
const LOCALE = "name the locale"
const ZONE = "use the UTC methods of Date, or name the time zone"

function patchGlobals(): void {
  patchDate()
  forbid(performance, "performance", ["now", "mark", "measure", "toJSON", "eventLoopUtilization"], CLOCK)
  forbidReading(performance, "performance", ["timeOrigin"], CLOCK)
  const { Temporal } = globalThis as { Temporal?: { Now: object } } // Node 24 has it behind a flag, and in no types
  if (Temporal !== undefined)
    forbid(Temporal.Now, "Temporal.Now", Object.getOwnPropertyNames(Temporal.Now), CLOCK)
  forbid(process, "process", ["hrtime", "uptime"], CLOCK)
  forbid(process, "process", USAGE, MACHINE)
  forbidReading(process, "process", ["pid", "ppid"], MACHINE)
  forbid(os, "os", OS, MACHINE)
  forbid(process, "process", ["nextTick"], LATER)
  forbid(Math, "Math", ["random"], CHANCE)
  forbid(globalThis, "", ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"], LATER)
  forbid(timers, "timers", ["setTimeout", "setInterval", "setImmediate"], LATER)
  forbid(AbortSignal, "AbortSignal", ["timeout"], LATER)
  forbid(Atomics, "Atomics", ["wait", "waitAsync"], LATER)
  forbid(globalThis, "", ["fetch"], OUTSIDE)
  forbid(globalThis.crypto, "crypto", ["getRandomValues", "randomUUID"], CHANCE)
  forbidReading(globalThis.crypto, "crypto", ["subtle"], "a command is synchronous: use node:crypto's hash")
  forbid(nodeCrypto, "crypto", CRYPTO, CHANCE)
  forbidReading(nodeCrypto, "crypto", ["pseudoRandomBytes", "prng", "rng"], CHANCE)
  forbid(WeakRef.prototype, "WeakRef", ["deref"], GARBAGE)
  forbid(FinalizationRegistry.prototype, "FinalizationRegistry", ["register"], GARBAGE)
  forbidLocal()
  allow(console, CONSOLE)
  allow(process, ["emitWarning"])
  syncBuiltinESMExports()
}

/** What depends on the time zone or the language of the machine. */
function forbidLocal(): void {
  forbid(Date.prototype, "Date", LOCAL_TIME, ZONE)
  forbidUnless(
    Date.prototype,
    "Date",
    ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"],
    ZONE,
    namesZone,
  )
  const numbers = namesLocale(Intl.NumberFormat, 0)
  forbidUnless(Number.prototype, "Number", ["toLocaleString"], LOCALE, numbers)
  forbidUnless(BigInt.prototype, "BigInt", ["toLocaleString"], LOCALE, numbers)
  forbidUnless(Array.prototype, "Array", ["toLocaleString"], LOCALE, numbers)
  forbidUnless(String.prototype, "String", ["toLocaleUpperCase", "toLocaleLowerCase"], LOCALE, numbers)
  forbidUnless(String.prototype, "String", ["localeCompare"], LOCALE, namesLocale(Intl.Collator, 1))
  for (const [name, service] of Object.entries(Object.getOwnPropertyDescriptors(Intl)))
    if (hasLocales(service.value) && name !== "DateTimeFormat")
      forbidUnless(Intl, "Intl", [name], LOCALE, namesLocale(service.value, 0))
  forbidUnless(Intl, "Intl", ["DateTimeFormat"], ZONE, namesZone)
}

const USAGE = words`cpuUsage threadCpuUsage resourceUsage memoryUsage availableMemory constrainedMemory`

const OS = words`hostname uptime freemem totalmem loadavg cpus availableParallelism networkInterfaces userInfo
  homedir tmpdir`

/** What node:crypto makes of chance. */
const CRYPTO = words`randomBytes randomFill randomFillSync randomInt randomUUID randomUUIDv7 getRandomValues
  generateKey generateKeySync generateKeyPair generateKeyPairSync generatePrime generatePrimeSync`

const CONSOLE = words`log info warn error debug trace dir dirxml table assert group groupCollapsed groupEnd
  count countReset time timeLog timeEnd`

/** What Date says in the machine's own time zone. */
const LOCAL_TIME = words`getFullYear getMonth getDate getHours getMinutes getSeconds getDay getYear getTimezoneOffset
  setFullYear setMonth setDate setHours setMinutes setSeconds setYear toString toDateString toTimeString`

function words({ raw }: TemplateStringsArray): ReadonlyArray<string> {
  return raw.join("").split(/\s+/)
}

/** Date strings that mean the same everywhere: an ISO date alone (UTC), or a time with its zone. */
const ZONED = /^(\d{4}|[+-]\d{6})(-\d\d){0,2}$|(\d|[\s)])(Z|UTC|GMT)$|:\d\d[^+-]*[+-]\d\d:?\d\d$/i

function namesZone(args: ReadonlyArray<unknown>): boolean {
  const options = args[1]
  return (
    namesDateLocale(args) &&
    typeof options === "object" &&
    options !== null &&
    "timeZone" in options &&
    options.timeZone !== undefined
  )
}

/** A part of Intl, such as Collator. */
interface HasLocales {
  readonly supportedLocalesOf: (locales: string | ReadonlyArray<string>) => ReadonlyArray<string>
}

function hasLocales(value: unknown): value is HasLocales {
  return typeof value === "function" && "supportedLocalesOf" in value
}

/** Without a locale (`undefined`, `[]`), or with one that it does not know, Intl takes the machine's. */
function namesLocale(service: HasLocales, index: number): (args: ReadonlyArray<unknown>) => boolean {
  let known: string | undefined // the same one mostly, as in a sort
  return (args) => {
    const locales = args[index]
    if (locales === undefined || locales === known) return locales !== undefined
    const isKnown = service.supportedLocalesOf(locales as string).length > 0 // anything else makes it throw, as the call would
    if (isKnown && typeof locales === "string") known = locales
    return isKnown
  }
}

const namesDateLocale = namesLocale(Intl.DateTimeFormat, 0)

type Callable = (this: unknown, ...args: ReadonlyArray<unknown>) => unknown

/** Replaces functions of `owner` by ones that throw during a command, and are themselves otherwise. */
function forbid(owner: object, name: string, members: ReadonlyArray<string>, remedy: string): void {
  for (const member of members) {
    const call = name === "" ? member : `${name}.${member}`
    const wrapped = replace(
      owner,
      member,
      (original) =>
        function (...args) {
          if (running !== undefined) refuse(call, remedy)
          return Reflect.apply(original, this, args)
        },
    )
    // clocks hang on clocks: process.hrtime.bigint, process.memoryUsage.rss
    if (wrapped !== undefined) forbid(wrapped, call, Object.keys(wrapped), remedy)
  }
}

/** As {@link forbid}, for what is read and not called. */
function forbidReading(owner: object, name: string, members: ReadonlyArray<string>, remedy: string): void {
  for (const member of members) {
    const [holder, descriptor] = find(owner, member)
    if (holder === undefined || descriptor === undefined) continue
    const original: object = Object.defineProperty({}, member, descriptor)
    Object.defineProperty(holder, member, {
      enumerable: descriptor.enumerable ?? false,
      configurable: true,
      get(): unknown {
        if (running !== undefined) refuse(`${name}.${member}`, remedy)
        return Reflect.get(original, member, this)
      },
      set(value: unknown) {
        Reflect.set(original, member, value)
      },
    })
  }
}

/** As {@link unguarded}, for members that are so in any case: nothing of them comes back to the command. */
function allow(owner: object, members: ReadonlyArray<string>): void {
  for (const member of members)
    replace(
      owner,
      member,
      (original) =>
        function (...args) {
          return unguarded(() => Reflect.apply(original, this, args))
        },
    )
}

/** As {@link forbid}, except for calls whose arguments leave nothing to the machine. */
function forbidUnless(
  owner: object,
  name: string,
  members: ReadonlyArray<string>,
  remedy: string,
  isExplicit: (args: ReadonlyArray<unknown>) => boolean,
): void {
  for (const member of members)
    replace(
      owner,
      member,
      (original) =>
        function (...args) {
          if (running !== undefined && !isExplicit(args)) refuse(`${name}.${member}`, remedy)
          if (new.target === undefined) return Reflect.apply(original, this, args)
          const made: unknown = Reflect.construct(original, args, new.target)
          return made
        },
    )
}

function replace(
  owner: object,
  member: string,
  wrap: (original: Callable) => Callable,
): Callable | undefined {
  const [holder, descriptor] = find(owner, member)
  if (holder === undefined || typeof descriptor?.value !== "function") return undefined
  const original = descriptor.value as Callable // just checked to be a function
  const wrapped = wrap(original)
  // what hangs on the function goes along
  for (const key of Reflect.ownKeys(original))
    if (key !== "length")
      Object.defineProperty(wrapped, key, Object.getOwnPropertyDescriptor(original, key) ?? {})
  Object.defineProperty(holder, member, { ...descriptor, value: wrapped })
  return wrapped
}

/** The property, and the object on the prototype chain that has it. */
function find(owner: object, member: string): [object | undefined, PropertyDescriptor | undefined] {
  for (let at: unknown = owner; isObject(at); at = Object.getPrototypeOf(at))
    if (Object.hasOwn(at, member)) return [at, Object.getOwnPropertyDescriptor(at, member)]
  return [undefined, undefined]
}

function isObject(value: unknown): value is object {
  return (typeof value === "object" && value !== null) || typeof value === "function"
}

/** `Date` keeps its prototype, so `instanceof` and existing dates are as before; only asking for the present is refused. */
function patchDate(): void {
  const Original = Date
  function GuardedDate(...args: ReadonlyArray<unknown>): unknown {
    if (running !== undefined) {
      if (new.target === undefined || args.length === 0)
        refuse(new.target === undefined ? "Date()" : "new Date()", CLOCK)
      if (args.length > 1 || (typeof args[0] === "string" && !ZONED.test(args[0])))
        refuse("new Date(local time)", ZONE)
    }
    if (new.target === undefined) return Original()
    // a subclass's own constructor stays the new.target
    return Reflect.construct(Original, args, new.target === (GuardedDate as unknown) ? Original : new.target) // compared as values
  }
  Object.defineProperties(GuardedDate, {
    ...Object.getOwnPropertyDescriptors(Original),
    prototype: { value: Original.prototype, writable: false },
  })
  Object.defineProperty(Original.prototype, "constructor", {
    value: GuardedDate,
    writable: true,
    configurable: true,
  })
  Object.defineProperty(globalThis, "Date", { value: GuardedDate, writable: true, configurable: true })
  forbid(GuardedDate, "Date", ["now"], CLOCK)
  forbidUnless(GuardedDate, "Date", ["parse"], ZONE, ([text]) => ZONED.test(String(text)))
}
