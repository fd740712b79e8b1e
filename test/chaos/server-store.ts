import { readdir } from "node:fs/promises"
import { join } from "node:path"
import type { Random } from "@lockstep/testing"
import { cutOff, flipBits } from "./damage.ts"

/** What of a server's store is damaged: blocks of the log itself, or blocks of what its servers agreed on about it. */
export type BlockKind = "log" | "agreement"
export type BlockDamage = "flipped" | "cut off"

/** Where a server keeps its streams. */
export class ServerStore {
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
  }

  /** Damages the newest block of this kind, and all others at the same rate. The server must be down. Yields how many were damaged. */
  async damage(
    random: Random,
    what: { readonly blocks: BlockKind; readonly damage: BlockDamage },
  ): Promise<number> {
    const blocks = await this.#blocks(what.blocks)
    const damaged = blocks.filter((_, i) => i === blocks.length - 1 || random.chance(0.5))
    for (const block of damaged) {
      if (what.damage === "flipped") await flipBits(block, random, random.integer(1, 4))
      else await cutOff(block, random)
    }
    return damaged.length
  }

  async #blocks(kind: BlockKind): Promise<ReadonlyArray<string>> {
    const part = kind === "log" ? "/streams/LOG_" : "/_js_/S-"
    const files = await readdir(this.directory, { recursive: true, withFileTypes: true })
    return files
      .filter((file) => file.isFile() && file.name.endsWith(".blk"))
      .map((file) => join(file.parentPath, file.name))
      .filter((file) => file.includes(part))
      .toSorted((a, b) => numberOf(a) - numberOf(b))
  }
}

/** Blocks are numbered in the order in which they were begun: 7.blk. */
function numberOf(block: string): number {
  return Number(/(\d+)\.blk$/.exec(block)?.[1] ?? 0)
}
