import nodeCrypto from "node:crypto"
import { syncBuiltinESMExports } from "node:module"

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
}

/** Names the running command. A function, because the name is only needed when something is wrong. */
export type Where = () => string

let installed = false
let running: Where | undefined
let violation: Nondeterminism | undefined

function refuse(call: string, remedy: string): never {
  violation = new Nondeterminism(call, running?.() ?? "a command", remedy)
  throw violation
}

const CLOCK = "use context.now"
const CHANCE = "use context.random() or context.uuid()"
const LATER = "a command is synchronous and has no timers"
const OUTSIDE = "a command cannot reach the outside world"
const LOCALE = "name the locale"
const ZONE = "use the UTC methods of Date, or name the time zone"

function patchGlobals(): void {
  patchDate()
  forbid(performance, "performance", ["now"], CLOCK)
  forbid(process, "process", ["hrtime", "uptime", "cpuUsage", "memoryUsage"], CLOCK)
  forbid(process, "process", ["nextTick"], LATER)
  forbid(Math, "Math", ["random"], CHANCE)
  forbid(globalThis, "", ["setTimeout", "setInterval", "setImmediate", "queueMicrotask"], LATER)
  forbid(globalThis, "", ["fetch"], OUTSIDE)
  forbid(globalThis.crypto, "crypto", ["getRandomValues", "randomUUID"], CHANCE)
  forbid(
    nodeCrypto,
    "crypto",
    [
      "randomBytes",
      "randomFill",
      "randomFillSync",
      "randomInt",
      "randomUUID",
      "generateKeyPairSync",
      "generateKeySync",
    ],
    CHANCE,
  )
  syncBuiltinESMExports()
  forbid(Date.prototype, "Date", LOCAL_TIME, ZONE)
  forbidUnless(
    Date.prototype,
    "Date",
    ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"],
    ZONE,
    namesZone,
  )
  forbidUnless(Number.prototype, "Number", ["toLocaleString"], LOCALE, hasArgument(0))
  forbidUnless(BigInt.prototype, "BigInt", ["toLocaleString"], LOCALE, hasArgument(0))
  forbidUnless(Array.prototype, "Array", ["toLocaleString"], LOCALE, hasArgument(0))
  forbidUnless(String.prototype, "String", ["toLocaleUpperCase", "toLocaleLowerCase"], LOCALE, hasArgument(0))
  forbidUnless(String.prototype, "String", ["localeCompare"], LOCALE, hasArgument(1))
  forbidUnless(Intl, "Intl", ["DateTimeFormat"], ZONE, namesZone)
  forbidUnless(
    Intl,
    "Intl",
    ["NumberFormat", "Collator", "PluralRules", "ListFormat"],
    LOCALE,
    hasArgument(0),
  )
}

/** What Date says in the machine's own time zone. */
const LOCAL_TIME = ["FullYear", "Month", "Date", "Hours", "Minutes", "Seconds"]
  .flatMap((part) => [`get${part}`, `set${part}`])
  .concat(["getDay", "getYear", "setYear", "getTimezoneOffset", "toString", "toDateString", "toTimeString"])

/** Date strings that mean the same everywhere: an ISO date alone (UTC), or a time with its zone. */
const ZONED = /^[+-]?\d{4,6}(-\d\d){0,2}$|(Z|UTC|GMT|[+-]\d\d:?\d\d)$/i

function namesZone(args: ReadonlyArray<unknown>): boolean {
  const options = args[1]
  return args[0] !== undefined && typeof options === "object" && options !== null && "timeZone" in options
}

function hasArgument(index: number): (args: ReadonlyArray<unknown>) => boolean {
  return (args) => args[index] !== undefined
}

type Callable = (this: unknown, ...args: ReadonlyArray<unknown>) => unknown

/** Replaces functions of `owner` by ones that throw during a command, and are themselves otherwise. */
function forbid(owner: object, name: string, members: ReadonlyArray<string>, remedy: string): void {
  for (const member of members) {
    const call = name === "" ? member : `${name}.${member}`
    replace(
      owner,
      member,
      (original) =>
        function (...args) {
          if (running !== undefined) refuse(call, remedy)
          return Reflect.apply(original, this, args)
        },
    )
  }
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
          return new.target === undefined
            ? Reflect.apply(original, this, args)
            : (Reflect.construct(original, args, new.target) as unknown)
        },
    )
}

function replace(owner: object, member: string, wrap: (original: Callable) => Callable): void {
  const holder = holderOf(owner, member)
  const descriptor = holder && Object.getOwnPropertyDescriptor(holder, member)
  if (holder === undefined || descriptor === undefined || typeof descriptor.value !== "function") return
  const original = descriptor.value as Callable // just checked to be a function
  const wrapped = wrap(original)
  // what hangs on the function (process.hrtime.bigint, util.promisify.custom of setTimeout) goes along, guarded too
  for (const [key, own] of Object.entries(Object.getOwnPropertyDescriptors(original)))
    if (key !== "length") Object.defineProperty(wrapped, key, own)
  for (const key of Object.getOwnPropertySymbols(original))
    Object.defineProperty(wrapped, key, Object.getOwnPropertyDescriptor(original, key) ?? {})
  if (typeof (wrapped as { bigint?: unknown }).bigint === "function") replaceBigint(wrapped)
  Object.defineProperty(holder, member, { ...descriptor, value: wrapped })
}

/** `process.hrtime.bigint`: a clock that hangs on a clock. */
function replaceBigint(hrtime: Callable): void {
  forbid(hrtime, "process.hrtime", ["bigint"], CLOCK)
}

function holderOf(owner: object, member: string): object | undefined {
  for (let at: object | null = owner; at !== null; at = Object.getPrototypeOf(at) as object | null)
    // a prototype is an object or null
    if (Object.hasOwn(at, member)) return at
  return undefined
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
