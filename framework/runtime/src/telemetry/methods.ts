import type { Member } from "@lockstep/actor"
import type { Outcome } from "@lockstep/core"
import type { Attributes } from "@opentelemetry/api"
import { ATTRIBUTES, SPANS, SYSTEM } from "./names.ts"

/** Codes of errors that are told apart, for each method: actors may make them up as they go. */
const ERROR_TYPES_MAX = 64
/** As the semantic conventions call the others. */
const OTHER_ERROR = "_OTHER"

/** What is said of calls, by their method, and by the error that they ended with. */
export class Methods {
  readonly #about: Attributes
  readonly #methods = new Map<Member, MethodAttributes>()

  constructor(about: Attributes) {
    this.#about = about
  }

  of(type: string, member: Member, errorType: string | undefined): Attributes {
    let method = this.#methods.get(member)
    if (method === undefined) {
      const [rpcSystem, rpcMethod] = [SYSTEM, SPANS.call(type, member.name)]
      method = new MethodAttributes({
        [ATTRIBUTES.rpcSystem]: rpcSystem,
        [ATTRIBUTES.rpcMethod]: rpcMethod,
        ...this.#about,
      })
      this.#methods.set(member, method)
    }
    return method.of(errorType)
  }
}

/** What is said of every call of one method, made once. */
class MethodAttributes {
  readonly #answered: Attributes
  readonly #failed = new Map<string, Attributes>()

  constructor(about: Attributes) {
    this.#answered = about
  }

  of(errorType: string | undefined): Attributes {
    if (errorType === undefined) return this.#answered
    const known = this.#failed.get(errorType)
    if (known !== undefined) return known
    if (this.#failed.size >= ERROR_TYPES_MAX && errorType !== OTHER_ERROR) return this.of(OTHER_ERROR)
    const attributes = { ...this.#answered, [ATTRIBUTES.errorType]: errorType }
    this.#failed.set(errorType, attributes)
    return attributes
  }
}

export function errorOf(outcome: Outcome): string | undefined {
  switch (outcome._tag) {
    case "Returned":
      return undefined
    case "Threw":
      return outcome.code
    case "Refused":
      return outcome.reason
  }
}
