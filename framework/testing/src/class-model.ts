import { type ActorDefinition, revive } from "@lockstep/actor"
import { ActorError, decode, encode, encodeState } from "@lockstep/core"
import type { SequentialModel } from "./linearizability.ts"

/**
 * A class as the specification of itself: called by one caller at a time, it says which answers are possible. States are
 * their canonical bytes, as text. For members that do not take the context: what they would see there no caller knows.
 */
export function classModel(definition: ActorDefinition): SequentialModel<string> {
  return {
    initial: () => textOf(new definition.actorClass()),
    step(state, input, output) {
      const [name, ...args] = input as readonly [string, ...ReadonlyArray<unknown>] // as a simulation writes it
      const member = definition.members.get(name)
      if (member === undefined) return undefined
      const actor = revive(definition, Buffer.from(state, "latin1"))
      const given = decode(encode(args)) as Array<unknown> // a list, as it was; the actor may keep it
      const real = outputOf(() => member.implementation.apply(actor, given))
      if (output !== undefined && !encode(real).equals(encode(output))) return undefined
      return textOf(actor)
    },
    identify: (state) => state,
  }
}

function outputOf(run: () => unknown): unknown {
  try {
    return { returned: run() }
  } catch (error) {
    if (error instanceof ActorError) return { threw: error.code }
    return { threw: error instanceof Error ? error.name : "NonError" }
  }
}

function textOf(actor: object): string {
  return encodeState(actor).toString("latin1")
}
