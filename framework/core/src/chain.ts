import { ByteWriter } from "./bytes.ts"
import { digest } from "./digest.ts"
import type { Entry } from "./entry.ts"
import type { Digest } from "./ids.ts"

/** The chain before the first entry. It binds the log's own id, so a log that was deleted and made again is another log. */
export function genesis(logId: string): Digest {
  return digest(`lockstep log ${logId}`)
}

/**
 * chain(s) = H(chain(s−1) ‖ seq ‖ time ‖ source ‖ payload). Two replicas with the same chain have seen the same bytes of the
 * same writers at the same times in the same order, all the way from the first entry.
 */
export function extend(chain: Digest, entry: Entry): Digest {
  link.reset()
  link.ascii(chain)
  link.natural64(entry.seq)
  link.uint64(entry.timeNs)
  link.string(entry.source)
  link.raw(entry.payload)
  return digest(link.view())
}

const link = new ByteWriter(4096)
