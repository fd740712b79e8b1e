import { type Canonical, encodeShared, InvalidArgument, type Slice, Unsupported } from "@lockstep/core"
import type { StandardSchemaV1 } from "@standard-schema/spec"
import type { ActorDefinition, Member } from "./definition.ts"

/**
 * The canonical bytes of a call's arguments, after their schemas agreed. A promise only where a schema is asynchronous.
 * Throws, or rejects with, {@link InvalidArgument}: nothing has reached the log then.
 */
export function encodeArguments(
  definition: ActorDefinition,
  member: Member,
  args: ReadonlyArray<unknown>,
): Slice | Promise<Slice> {
  const target = `${definition.type}/${member.name}`
  if (member.args === undefined) {
    checkHints(target, member, args)
    return encodeChecked(target, args)
  }
  // the schema of an argument that is left out is asked about undefined
  if (args.length > member.args.length)
    throw new InvalidArgument(target, `takes ${member.args.length} arguments, not ${args.length}`)
  const results = member.args.map((schema, i) => schema["~standard"].validate(args[i]))
  if (results.some((result) => result instanceof Promise))
    return Promise.all(results.map((result) => Promise.resolve(result))).then((settled) =>
      encodeChecked(target, values(target, settled)),
    )
  return encodeChecked(target, values(target, results as ReadonlyArray<Validated>)) // no promise is among them
}

/** A decided value as the method's `returns` schema sees it. */
export function decodeResult(definition: ActorDefinition, member: Member, value: Canonical): unknown {
  if (member.returns === undefined) return value
  const target = `${definition.type}/${member.name}`
  const check = (result: Validated): unknown => {
    if (result.issues === undefined) return result.value
    throw new TypeError(
      `${target} was executed, and returned what its own \`returns\` schema refuses: ${complaint(result.issues)}`,
    )
  }
  const result = member.returns["~standard"].validate(value)
  return result instanceof Promise ? result.then(check) : check(result)
}

type Validated = StandardSchemaV1.Result<unknown>

function values(target: string, results: ReadonlyArray<Validated>): ReadonlyArray<unknown> {
  return results.map((result, i) => {
    if (result.issues === undefined) return result.value
    throw new InvalidArgument(target, `argument ${i + 1}: ${complaint(result.issues)}`)
  })
}

function complaint(issues: ReadonlyArray<StandardSchemaV1.Issue>): string {
  return issues
    .map((issue) => {
      const path = (issue.path ?? [])
        .map((part) => String(typeof part === "object" ? part.key : part))
        .join(".")
      return path === "" ? issue.message : `${path}: ${issue.message}`
    })
    .join("; ")
}

function encodeChecked(target: string, args: ReadonlyArray<unknown>): Slice {
  try {
    return encodeShared(args, "arguments")
  } catch (cause) {
    throw cause instanceof Unsupported ? new InvalidArgument(target, cause.message) : cause
  }
}

/** Without schemas, what the compiler recorded of primitives is still worth a check before the log sees the call. */
function checkHints(target: string, member: Member, args: ReadonlyArray<unknown>): void {
  if (args.length > member.parameters)
    throw new InvalidArgument(target, `takes at most ${member.parameters} arguments, not ${args.length}`)
  if (args.length < member.argumentsMin)
    throw new InvalidArgument(target, `takes at least ${member.argumentsMin} arguments, not ${args.length}`)
  const { parameterTypes } = member
  if (parameterTypes === undefined) return
  for (let i = 0; i < args.length; i++) {
    const wanted = PRIMITIVES.get(parameterTypes[i])
    const value = args[i]
    if (wanted !== undefined && value !== undefined && value !== null && typeof value !== wanted)
      throw new InvalidArgument(target, `argument ${i + 1} is a ${typeof value}, not a ${wanted}`)
  }
}

const PRIMITIVES: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [Number, "number"],
  [String, "string"],
  [Boolean, "boolean"],
  [BigInt, "bigint"],
])
