import { type ActorClass, Command, define, DefinitionError, Replicated } from "@lockstep/actor"
import { mode } from "./stage.ts"

// Classes as they come from a compiler that checks nothing.

/** What `define` has to say. */
export function complaint(actorClass: ActorClass): string {
  let error: unknown
  try {
    define(actorClass)
    return "accepted"
  } catch (cause) {
    error = cause
  }
  if (!(error instanceof DefinitionError)) throw error
  const name = [error.actorClass, ...(error.member === undefined ? [] : [error.member])].join(".")
  const isNamed = error.actorClass === actorClass.name && error.message.startsWith(`${name}: `)
  return isNamed ? error.message : `${name} is the name, and not in: ${error.message}`
}

export function account(options: Readonly<Record<string, unknown>> = {}): ActorClass {
  class Account {
    balance = 0

    @Command()
    deposit(amount: number): number {
      return (this.balance += amount)
    }
  }
  Replicated({ name: "Account", version: 1, mode, ...options })(Account)
  return Account
}

export interface Options {
  readonly args?: ReadonlyArray<unknown>
  readonly returns?: unknown
}

/** The class, decorated, and one of its methods. */
export function asActor(
  actorClass: abstract new (...args: Array<never>) => object,
  member?: string,
  options: Options = {},
  parameterTypes?: ReadonlyArray<unknown>,
): ActorClass {
  const unchecked = actorClass as ActorClass
  Replicated({ name: actorClass.name, version: 1, mode })(unchecked)
  if (member === undefined) return unchecked
  const prototype: object = unchecked.prototype
  const decorate = Command(options as object) as unknown as (target: object, member: string) => void
  decorate(prototype, member)
  if (parameterTypes !== undefined)
    Reflect.defineMetadata("design:paramtypes", parameterTypes, prototype, member)
  return unchecked
}

/** A class of the same name with just this method, decorated. */
export function only(
  actorClass: new () => object,
  member: string,
  options?: Options,
  parameterTypes?: ReadonlyArray<unknown>,
): ActorClass {
  const { [actorClass.name]: alone } = {
    [actorClass.name]: class {
      value = 0
    },
  }
  if (alone === undefined) throw new Error(actorClass.name)
  const prototype: object = actorClass.prototype
  Object.defineProperty(alone.prototype, member, Object.getOwnPropertyDescriptor(prototype, member) ?? {})
  const returned: unknown = Reflect.getOwnMetadata("design:returntype", prototype, member)
  if (returned !== undefined) Reflect.defineMetadata("design:returntype", returned, alone.prototype, member)
  return asActor(alone, member, options, parameterTypes)
}
