import { type ByteReader, type Canonical, decodeFrom, Malformed } from "@lockstep/core"
import type { Member } from "./definition.ts"

/** The arguments, or what is wrong with them: a forged envelope may hold anything. */
export function readArguments(member: Member, reader: ByteReader): Array<unknown> | string {
  let args: Canonical
  try {
    args = decodeFrom(reader)
    reader.end()
  } catch (cause) {
    if (cause instanceof Malformed) return `the arguments are malformed: ${cause.message}`
    throw cause
  }
  if (!Array.isArray(args)) return "the arguments are not a list"
  const min = member.argumentsMin
  const max = member.args?.length ?? member.parameters
  if (args.length < min || args.length > max)
    return `${args.length} arguments were given, and ${min === max ? max : `${min} or ${max}`} are taken`
  return args as Array<unknown> // just checked; made for this call, so it may be changed
}
