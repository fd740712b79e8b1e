import { type ByteReader, type ByteWriter, Malformed } from "./bytes.ts"
import { OPERATOR } from "./roster.ts"

/** What a group's entries are executed with: the version of every class that it hosts. */
export interface Schema {
  /**
   * Counts what operators have stated, from 0. With 0 nothing was: replicas begin with the versions of their own builds. Number 1
   * says what has been executed since the first entry, and every later one what is executed from its own position on.
   */
  readonly number: number
  /** By type. Stated whole, never as a change. */
  readonly versions: ReadonlyMap<string, number>
}

/** Classes in a schema, at most. */
export const SCHEMA_TYPES_MAX = 1024
/** Characters of the name of a class, at most, as its definition allows them. */
const TYPE_LENGTH_MAX = 128

/**
 * Why a schema that the log states does not follow the current one; undefined where it does, and takes effect at its position. All
 * replicas decide alike, whatever their builds are: nothing but the log is asked. The number is what makes it a compare-and-set.
 */
export function objectionToSchema(
  next: Schema,
  stated: { readonly source: string; readonly current: Schema },
): string | undefined {
  const { source, current } = stated
  if (source !== OPERATOR) return `${source} is not an operator`
  if (next.number !== current.number + 1) return `number ${next.number} does not follow ${current.number}`
  if (next.versions.size === 0) return "it names no class"
  for (const [type, version] of next.versions)
    if (version < 1) return `version ${version} of ${type} is not a whole number from 1`
  if (current.number === 0) return undefined // nobody but the replicas themselves knows what was before
  for (const [type, version] of current.versions) {
    const after = next.versions.get(type)
    if (after === undefined) return `it leaves out ${type}, of which there may be actors`
    if (after < version) return `${type} would go back from version ${version} to ${after}`
  }
  return isSameVersions(current.versions, next.versions) ? "it changes nothing" : undefined
}

/** Whether both name the same classes in the same versions. */
export function isSameVersions(a: Schema["versions"], b: Schema["versions"]): boolean {
  return a.size === b.size && [...a].every(([type, version]) => b.get(type) === version)
}

export function writeSchema(writer: ByteWriter, { number, versions }: Schema): void {
  writer.varint(number)
  writer.varint(versions.size)
  // replicas attest it, and may have been given their classes in any order
  for (const [type, version] of [...versions].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    writer.string(type)
    writer.varint(version)
  }
}

/** Throws {@link Malformed}. */
export function readSchema(reader: ByteReader): Schema {
  const number = reader.varint()
  const count = reader.count()
  if (count > SCHEMA_TYPES_MAX) throw new Malformed(`a schema has more than ${SCHEMA_TYPES_MAX} classes`)
  const versions = new Map<string, number>()
  let last = ""
  for (let left = count; left > 0; left--) {
    const type = reader.string()
    if (type <= last) throw new Malformed("the classes of a schema are not in their order")
    if (type.length > TYPE_LENGTH_MAX) throw new Malformed("the name of a class is too long")
    versions.set(type, reader.varint())
    last = type
  }
  return { number, versions }
}
