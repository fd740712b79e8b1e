import {
  ActorError,
  type ByteWriter,
  Unsupported,
  writeRefused,
  writeReturned,
  writeThrew,
} from "@lockstep/core"

/** Writes what a command returned, if that is data. What is no data throws where a getter of the actor's own does. */
export function writeOutcome(writer: ByteWriter, value: unknown): void {
  const start = writer.length
  try {
    writeReturned(writer, value)
  } catch (cause) {
    writer.truncate(start)
    if (!(cause instanceof Unsupported)) throw cause
    writeRefused(writer, "ResultUnsupported", `the command was executed, but its ${cause.message}`)
  }
}

/** Writes what a command threw. `"uncaught"`: it is no refusal that its author meant, but most likely a bug. */
export function writeThrown(writer: ByteWriter, error: unknown): "refusal" | "uncaught" {
  const start = writer.length
  try {
    if (error instanceof ActorError) {
      writeThrew(writer, String(error.code), error.data)
      return "refusal"
    }
    writeThrew(writer, error instanceof Error ? String(error.name) : "NonError", null)
    return "uncaught"
  } catch (cause) {
    writer.truncate(start)
    const what = cause instanceof Unsupported ? cause.message : "code, data or name cannot be read"
    writeRefused(writer, "ResultUnsupported", `the command threw an error whose ${what}`)
    return "refusal"
  }
}
