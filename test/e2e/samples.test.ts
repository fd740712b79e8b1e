import { execFile } from "node:child_process"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../source.ts"

/** Runs a sample as it is built, the way its reader does. */
function run(
  sample: string,
): Promise<{ readonly code: number; readonly out: string; readonly errors: string }> {
  const program = join(root, "samples", sample, "dist", "main.js")
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program], { timeout: 60_000 }, (_, out, errors) =>
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
})
