import { BUCKETS, bucketDigest, bucketOf, rootOf, StateTree } from "@lockstep/core"
import fc from "fast-check"
import { describe, expect, it } from "vitest"

const id = fc.oneof(fc.constantFrom("a", "b", "c", 'quoted" id', "line\nbreak"), fc.string())
const change = fc.tuple(id, fc.option(fc.uint8Array({ maxLength: 8 }), { nil: undefined }))
const changes = fc.array(change, { maxLength: 60 })

function treeOf(rows: Iterable<readonly [string, Uint8Array]>): StateTree {
  const tree = new StateTree()
  for (const [row, bytes] of rows) tree.set(row, bytes)
  return tree
}

describe("the digest of a state", () => {
  it("is that of its rows, however and in whatever order they came to be", () => {
    const law = fc.property(changes, fc.nat(5), (given, every) => {
      const tree = new StateTree()
      const rows = new Map<string, Uint8Array>()
      for (const [i, [row, bytes]] of given.entries()) {
        if (bytes === undefined) tree.delete(row)
        else tree.set(row, bytes)
        if (bytes === undefined) rows.delete(row)
        else rows.set(row, bytes)
        if (i % (every + 1) === 0) tree.root()
        tree.refresh(i % 3)
      }
      expect(tree.size).toBe(rows.size)
      expect(tree.root()).toBe(treeOf([...rows].toReversed()).root())
    })
    fc.assert(law, { numRuns: 200 })
  })

  it("differs where a row, an id or a byte does", () => {
    const rows = fc.array(fc.tuple(id, fc.uint8Array({ maxLength: 4 })), { maxLength: 20 })
    const law = fc.property(rows, id, (given, other) => {
      const old = new Map(given).get(other)
      const tree = treeOf(given)
      const before = tree.root()
      tree.set(other, Uint8Array.from([...(old ?? []), 1]))
      expect(tree.root()).not.toBe(before)
      if (old === undefined) tree.delete(other)
      else tree.set(other, old)
      expect(tree.root()).toBe(before)
    })
    fc.assert(law, { numRuns: 200 })
  })

  it("can be taken a few buckets at a time", () => {
    const tree = new StateTree()
    const rows = Array.from({ length: 20 }, (_, i) => [`row ${i}`, Buffer.from("bytes")] as const)
    for (const [row, bytes] of rows) tree.set(row, bytes)
    const changed = new Set(rows.map(([row]) => bucketOf(row)))
    let turns = 1
    while (!tree.refresh(3)) turns++
    expect(turns).toBe(Math.ceil(changed.size / 3))
    expect(new Set(tree.takeChanges().keys())).toEqual(changed)
    expect(tree.root()).toBe(treeOf(rows).root())
    expect(tree.takeChanges().size).toBe(0)
  })

  it("can be checked bucket by bucket", () => {
    const rows = Array.from({ length: 500 }, (_, i) => [`row ${i}`, Buffer.from(`bytes ${i}`)] as const)
    const tree = treeOf(rows)
    const byBucket = Map.groupBy(rows, ([row]) => bucketOf(row))
    const buckets = Array.from({ length: BUCKETS }, (_, i) => bucketDigest(new Map(byBucket.get(i) ?? [])))
    expect(tree.bucketDigests()).toEqual(buckets)
    expect(rootOf(buckets)).toBe(tree.root())
  })
})
