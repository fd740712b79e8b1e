import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { Rows } from "../../src/primary-backup/rows.ts"

const IDS = ["a", "b", "c"]

type Step = "record" | "commit" | "take" | "persist" | "hide"

const step = fc.tuple(
  fc.constantFrom<Step>("record", "commit", "take", "persist", "hide"),
  fc.constantFrom(...IDS),
)

/** Rows, and beside them every record since the beginning. */
class Pair {
  readonly rows = new Rows()
  readonly #records: Array<{ readonly id: string; readonly bytes: Uint8Array }> = []
  #committed = 0
  #taken = 0
  #persisted = 0
  /** By id, as the checkpoint on the disk holds it. */
  readonly #shelf = new Map<string, Uint8Array>()
  /** The same, of what was taken since then. */
  readonly #onItsWay = new Map<string, Uint8Array>()

  record(id: string): void {
    const bytes = Uint8Array.of(this.#records.length)
    this.rows.show(id, bytes, this.#records.push({ id, bytes }))
  }

  commit(): void {
    const record = this.#records[this.#committed]
    if (record !== undefined) this.rows.change(record.id, record.bytes, ++this.#committed)
  }

  take(): void {
    const changed = this.#records.slice(this.#taken, this.#committed).map(({ id }) => id)
    const before = this.rows.changed.map(({ id, bytes }) => [id, bytes])
    const rows = new Map(this.rows.take())
    expect([...rows]).toEqual(before)
    expect([...rows.keys()].toSorted()).toEqual([...new Set(changed)].toSorted())
    for (const [id, bytes] of rows) expect(bytes).toBe(this.#row(id, this.#committed))
    this.#taken = this.#committed
    for (const [id, bytes] of rows) if (bytes !== undefined) this.#onItsWay.set(id, bytes)
  }

  persist(): void {
    for (const [id, bytes] of this.#onItsWay) this.#shelf.set(id, bytes)
    this.#onItsWay.clear()
    for (const [id, bytes] of this.rows.persisted(this.#taken)) expect(this.#shelf.get(id)).toBe(bytes)
    this.#persisted = this.#taken
  }

  hide(): void {
    this.rows.hide()
    this.#records.length = this.#committed
  }

  check(): void {
    for (const id of IDS) {
      const shelved = this.#shelf.get(id)
      expect(shelved).toBe(this.#row(id, this.#persisted))
      expect(this.rows.get(id, "committed") ?? shelved).toBe(this.#row(id, this.#committed))
      expect(this.rows.get(id, "all") ?? shelved).toBe(this.#row(id, this.#records.length))
    }
  }

  #row(id: string, upTo: number): Uint8Array | undefined {
    return this.#records.slice(0, upTo).findLast((record) => record.id === id)?.bytes
  }
}

describe("rows that the last checkpoint does not hold as they are", () => {
  it("are what the records say, whatever is taken, persisted or taken back", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: "max" }), (steps) => {
        const pair = new Pair()
        for (const [what, id] of steps) {
          pair[what](id)
          pair.check()
        }
      }),
    )
  })

  it("say of a row that is new here that it is", () => {
    const rows = new Rows()
    rows.show("a", Uint8Array.of(1), 1)
    expect(rows.change("a", Uint8Array.of(1), 1)).toBe(true)
    expect(rows.change("a", Uint8Array.of(2), 2)).toBe(false)
    expect(rows.change("a", undefined, 3)).toBe(false)
    expect(rows.get("a", "all")).toBeUndefined()
    expect(rows.changed).toMatchObject([{ id: "a", bytes: undefined }])
  })
})
