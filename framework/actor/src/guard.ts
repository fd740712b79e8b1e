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
    ["randomBytes", "randomFill", "randomFillSync", "randomInt", "randomUUID", "generateKeyPairSync", "generateKeySync"],
    CHANCE,
  )
  syncBuiltinESMExports()
  forbidWithoutLocale(Date.prototype, "Date", ["toLocaleString", "toLocaleDateString", "toLocaleTimeString"], 0)
  forbidWithoutLocale(Number.prototype, "Number", ["toLocaleString"], 0)
  forbidWithoutLocale(BigInt.prototype, "BigInt", ["toLocaleString"], 0)
  forbidWithoutLocale(Array.prototype, "Array", ["toLocaleString"], 0)
  forbidWithoutLocale(String.prototype, "String", ["localeCompare"], 1)
  forbidWithoutLocale(String.prototype, "String", ["toLocaleUpperCase", "toLocaleLowerCase"], 0)
}

type Callable = (this: unknown, ...args: ReadonlyArray<unknown>) => unknown

/** Replaces functions of `owner` by ones that throw during a command, and are themselves otherwise. */
function forbid(owner: object, name: string, members: ReadonlyArray<string>, remedy: string): void {
  for (const member of members) {
    const call = name === "" ? member : `${name}.${member}`
    replace(owner, member, (original) =>
      function (...args) {
        if (running !== undefined) refuse(call, remedy)
        return Reflect.apply(original, this, args)
      },
    )
  }
}

/** As {@link forbid}, where the argument at `locale` is missing: the machine's own would be taken. */
function forbidWithoutLocale(prototype: object, name: string, members: ReadonlyArray<string>, locale: number): void {
  for (const member of members)
    replace(prototype, member, (original) =>
      function (...args) {
        if (running !== undefined && args[locale] === undefined) refuse(`${name}.${member}`, LOCALE)
        return Reflect.apply(original, this, args)
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
    if (key !== "prototype" && key !== "length") Object.defineProperty(wrapped, key, own)
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
  for (let at: object | null = owner; at !== null; at = Object.getPrototypeOf(at) as object | null) // a prototype is an object or null
    if (Object.hasOwn(at, member)) return at
  return undefined
}

/** `Date` keeps its prototype, so `instanceof` and existing dates are as before; only asking for the present is refused. */
function patchDate(): void {
  const Original = Date
  function GuardedDate(...args: ReadonlyArray<unknown>): unknown {
    if (running !== undefined && (new.target === undefined || args.length === 0))
      refuse(new.target === undefined ? "Date()" : "new Date()", CLOCK)
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
}
