import { execFile } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../source.ts"

/** Runs a sample as it is built, the way its reader does. */
function run(
  sample: string,
  ...args: ReadonlyArray<string>
): Promise<{ readonly code: number; readonly out: string; readonly errors: string }> {
  const program = join(root, "samples", sample, "dist", "main.js")
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, ...args], { timeout: 120_000 }, (_, out, errors) =>
      resolve({ code: child.exitCode ?? -1, out, errors }),
    )
  })
}

describe("sample", () => {
  it("01-counter counts to three, and ends", async () => {
    expect(await run("01-counter")).toEqual({ code: 0, out: "1 2 3\n", errors: "" })
  })

  it("02-bank neither makes nor loses money, and refuses what its schema does", async () => {
    const { code, out, errors } = await run("02-bank")
    expect({ code, errors }).toEqual({ code: 0, errors: "" })
    const [transfers = "", refusal = "", end] = out.split("\n")
    const [, moved, refused] =
      /^(\d+) transfers were made and (\d+) refused; the total is 4000 of 4000$/.exec(transfers) ?? []
    expect(Number(moved) + Number(refused)).toBe(200)
    expect(Number(refused)).toBeGreaterThan(0)
    expect(refusal).toMatch(
      /^refused: bank\/Branch\/deposit: argument 2: .* The command was not executed; correct the call\.$/,
    )
    expect(end).toBe("")
  })

  it("04-inventory loses nothing but the end of what an asynchronous group acknowledged, and no more than that reports", async () => {
    const { code, out, errors } = await run("04-inventory", "--json")
    const { ok, trials }: { ok: boolean; trials: ReadonlyArray<Trial> } = JSON.parse(out)
    expect({ code, ok, broken: trials.map(({ broken }) => broken), errors }).toMatchObject({
      code: 0,
      ok: true,
      broken: [[], [], []],
    })
    expect(trials.map(({ replication }) => replication)).toEqual([
      "synchronous",
      "semi-synchronous",
      "asynchronous",
    ])
    expect(trials.map(({ replication, lost }) => replication === "asynchronous" || lost === 0)).toEqual([
      true,
      true,
      true,
    ])
    for (const { acknowledged, lost, lossWindow, killed, failover, orphans, ...prefix } of trials) {
      expect(acknowledged).toBeGreaterThan(0)
      expect(failover.primary).not.toBe(killed)
      expect(lost).toBeLessThanOrEqual(lossWindow)
      // what survives is a prefix of what the killed primary acknowledged
      expect(prefix.firstLost ?? Infinity).toBeGreaterThan(prefix.lastKept ?? 0)
      // the carrier undoes nothing: what was lost is still booked
      expect(orphans.acknowledged).toHaveLength(lost)
    }
  })
})

/** What the inventory prints of each setting, as far as it is judged here. */
interface Trial {
  readonly replication: string
  readonly killed: string
  readonly failover: { readonly primary: string }
  readonly acknowledged: number
  readonly lost: number
  readonly lossWindow: number
  readonly lastKept?: number
  readonly firstLost?: number
  readonly orphans: { readonly acknowledged: ReadonlyArray<string> }
  readonly broken: ReadonlyArray<string>
}
