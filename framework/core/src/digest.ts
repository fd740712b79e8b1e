import { hash } from "node:crypto"
import type { Digest } from "./ids.ts"

/** Characters of a digest. */
export const DIGEST_LENGTH = 64

/** SHA-256, in hexadecimal: asking node:crypto for bytes instead takes three times as long for small inputs. */
export function digest(bytes: Uint8Array | string): Digest {
  return hash("sha256", bytes, "hex") as Digest // SHA-256 in hexadecimal is what a Digest is
}
