import {
  type BaggageEntry,
  baggageEntryMetadataFromString,
  type Context,
  propagation,
} from "@opentelemetry/api"

/** Entries and characters of the baggage of one call, at most: what W3C Baggage asks everybody to pass on. */
export const BAGGAGE_ENTRIES_MAX = 64
export const BAGGAGE_LENGTH_MAX = 8192

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const MEMBER = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)=([!#-+\--:<-[\]-~]*)(?:;([ -+\--~]*))?$/
const METADATA = /^[ -+\--~]+$/

/** Throws TypeError for what is no name of a baggage entry. */
export function checkBaggage(names: ReadonlyArray<string>): void {
  for (const name of names)
    if (!NAME.test(name))
      throw new TypeError(
        `baggage names ${JSON.stringify(name)}: the name of an entry has letters, digits and !#$%&'*+-.^_\`|~`,
      )
  if (names.length > BAGGAGE_ENTRIES_MAX)
    throw new TypeError(`baggage names ${names.length} entries; at most ${BAGGAGE_ENTRIES_MAX} travel`)
}

/** The entries of these names, as a W3C baggage header has them. Those that do not fit stay behind, the last ones first. */
export function baggageText(context: Context, names: ReadonlyArray<string>): string {
  const baggage = names.length === 0 ? undefined : propagation.getBaggage(context)
  if (baggage === undefined) return ""
  let text = ""
  for (const name of names) {
    const member = memberOf(name, baggage.getEntry(name))
    const longer = text === "" ? member : `${text},${member}`
    if (member !== "" && longer.length <= BAGGAGE_LENGTH_MAX) text = longer
  }
  return text
}

/** A context with the baggage that the text names; as it was, for a text that is none. */
export function withBaggage(context: Context, text: string): Context {
  const entries = entriesOf(text)
  return entries === undefined ? context : propagation.setBaggage(context, propagation.createBaggage(entries))
}

function memberOf(name: string, entry: BaggageEntry | undefined): string {
  if (entry === undefined || !String(entry.value).isWellFormed()) return ""
  const member = `${name}=${encodeURIComponent(entry.value)}`
  const metadata = String(entry.metadata ?? "")
  return METADATA.test(metadata) ? `${member};${metadata}` : member
}

function entriesOf(text: string): Record<string, BaggageEntry> | undefined {
  if (text === "" || text.length > BAGGAGE_LENGTH_MAX) return undefined
  const members = text.split(",")
  if (members.length > BAGGAGE_ENTRIES_MAX) return undefined
  const entries: Array<[string, BaggageEntry]> = []
  for (const member of members) {
    const [, name, encoded, metadata] = MEMBER.exec(member) ?? []
    const value = encoded === undefined ? undefined : decoded(encoded)
    if (name === undefined || value === undefined) return undefined
    const more = metadata === undefined ? {} : { metadata: baggageEntryMetadataFromString(metadata) }
    entries.push([name, { value, ...more }])
  }
  return Object.fromEntries(entries)
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
