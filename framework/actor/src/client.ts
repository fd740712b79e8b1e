import { InvalidArgument, KEY_LENGTH_MAX, type Slice } from "@lockstep/core"
import { encodeArguments } from "./arguments.ts"
import type { WithoutContext } from "./decorators.ts"
import type { ActorDefinition, Member } from "./definition.ts"

/** The client of one actor: its methods, without the context, returning promises. A plain frozen object. */
export type ActorClient<Instance> = {
  readonly [Name in MethodNames<Instance>]: Instance[Name] extends (...args: infer Args) => infer Result
    ? (...args: WithoutContext<Args>) => Promise<Awaited<Result>>
    : never
}

export type MethodNames<Instance> = {
  [Name in keyof Instance & string]: Instance[Name] extends (...args: Array<never>) => unknown ? Name : never
}[keyof Instance & string]

/** Sends one call whose arguments are already encoded. */
export type Invoke<Result> = (call: Call) => Promise<Result>

export interface Call {
  readonly definition: ActorDefinition
  readonly member: Member
  readonly key: string
  /** Canonical bytes of the array of arguments. */
  readonly args: Slice
}

/** The methods of one actor as functions that encode their arguments and call `invoke`. Errors reject, none is thrown. */
export function actorMethods<Result>(
  definition: ActorDefinition,
  key: string,
  invoke: Invoke<Result>,
): Readonly<Record<string, (...args: Array<unknown>) => Promise<Result>>> {
  if (typeof key !== "string" || key.length === 0 || key.length > KEY_LENGTH_MAX || !key.isWellFormed())
    throw new InvalidArgument(
      definition.type,
      `the key of an actor is a text of 1 to ${KEY_LENGTH_MAX} characters, not ${describe(key)}`,
    )
  const methods: Record<string, (...args: Array<unknown>) => Promise<Result>> = {}
  for (const member of definition.members.values()) {
    methods[member.name] = (...given) => {
      try {
        const args = encodeArguments(definition, member, given)
        return args instanceof Promise
          ? args.then((encoded) => invoke({ definition, member, key, args: encoded }))
          : invoke({ definition, member, key, args })
      } catch (cause) {
        return Promise.reject(cause)
      }
    }
  }
  return Object.freeze(methods)
}

function describe(key: unknown): string {
  return typeof key === "string" ? JSON.stringify(key.slice(0, 80)) : `a ${typeof key}`
}
