import { Random } from "@lockstep/testing"
import { describe, expect, it } from "vitest"
import {
  describe as inWords,
  drawEpisode,
  type Episode,
  kindOf,
  replicasMax,
  type Victims,
} from "./nemesis.ts"

const VICTIMS: Victims = {
  clients: [0, 1, 2],
  replicas: [{ replica: "r0" }, { replica: "r1" }, { replica: "r2" }],
  liar: undefined,
}

function drawn(seed: number, victims: Victims, count: number): ReadonlyArray<Episode> {
  const random = new Random(seed)
  return Array.from({ length: count }, () => drawEpisode(random, victims))
}

describe("the nemesis", () => {
  it("draws the same episodes from the same seed", () => {
    expect(drawn(1, VICTIMS, 50)).toEqual(drawn(1, VICTIMS, 50))
    expect(drawn(1, VICTIMS, 50)).not.toEqual(drawn(2, VICTIMS, 50))
  })

  it("strikes no more than f replicas and one server at a time, each of them once", () => {
    for (const episode of drawn(3, VICTIMS, 2000)) {
      const count = (tag: string): number => episode.filter(({ target }) => target._tag === tag).length
      expect(count("Replica")).toBeLessThanOrEqual(1)
      expect(count("Server")).toBeLessThanOrEqual(1)
      expect(episode.length).toBeGreaterThan(0)
    }
  })

  it("leaves the liar alone, and counts it as faulty", () => {
    const victims = { ...VICTIMS, liar: "r2" }
    expect(replicasMax(victims)).toBe(0)
    const targets = drawn(4, victims, 500).flatMap((episode) => episode.map(({ target }) => target._tag))
    expect(targets).not.toContain("Replica")
  })

  it("damages a server's blocks only while nothing else is struck", () => {
    const damaging = drawn(5, VICTIMS, 2000).filter((episode) =>
      episode.some(({ harm }) => harm._tag === "Corrupted"),
    )
    expect(damaging.length).toBeGreaterThan(50)
    expect(damaging.filter(({ length }) => length > 1)).toEqual([])
  })

  it("draws every kind of fault within some hundred episodes", () => {
    const kinds = new Set(drawn(6, VICTIMS, 500).flatMap((episode) => episode.map(kindOf)))
    expect([...kinds].toSorted()).toEqual([
      "client cut",
      "client slowed",
      "client torn",
      "replica cut",
      "replica disk full",
      "replica killed",
      "replica paused",
      "replica rolled back",
      "replica slowed",
      "replica store damaged",
      "replica store deleted",
      "replica torn",
      "server blocks damaged",
      "server cut",
      "server killed",
      "server paused",
      "server slowed",
      "server torn",
    ])
  })

  it("says what it does in words", () => {
    expect(
      inWords({
        target: { _tag: "Replica", index: 1 },
        harm: { _tag: "RolledBack", copy: "first" },
        durationMs: 1500,
      }),
    ).toBe("r1 killed, its store rolled back to its first copy for 1.5 s")
  })
})
