import { readFile, stat, truncate, writeFile } from "node:fs/promises"
import type { Random } from "@lockstep/testing"

/** Flips so many bits of a file, anywhere in it. */
export async function flipBits(file: string, random: Random, flips: number): Promise<void> {
  const bytes = await readFile(file)
  if (bytes.length === 0) return
  for (let left = flips; left > 0; left--) {
    const at = random.integer(0, bytes.length - 1)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random.integer(0, 7))
  }
  await writeFile(file, bytes)
}

/** Cuts off the end of a file, at any place of its second half. */
export async function cutOff(file: string, random: Random): Promise<void> {
  const { size } = await stat(file)
  await truncate(file, random.integer(Math.floor(size / 2), Math.max(0, size - 1)))
}
