import { spawnSync } from "node:child_process"
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { basename, join } from "node:path"
import { describe, expect, it } from "vitest"
import { root } from "../source.ts"

const HOOKS = new URL("../../infra/scripts/ts-hooks.mjs", import.meta.url).href
const PAGES = ["README.md", ...globSync("docs/guides/*.md", { cwd: root })]

/** The code of a page, and what it says that the code prints. */
function read(page: string): { readonly program: string; readonly output: string } {
  const text = readFileSync(join(root, page), "utf8")
  const blocks = (language: string): string =>
    [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))]
      .map(([, code]) => code)
      .join("\n")
  return { program: blocks("ts"), output: blocks("text").replaceAll("\n\n", "\n").trim() }
}

describe("the program in", () => {
  it.each(PAGES)("%s does what the page says", (page) => {
    const { program, output } = read(page)
    const folder = join(root, ".cache/guides")
    mkdirSync(folder, { recursive: true })
    const file = join(folder, `${basename(page, ".md")}-${process.pid}.ts`)
    writeFileSync(file, program)
    try {
      const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", HOOKS, file], {
        cwd: root,
        encoding: "utf8",
        timeout: 60_000,
      })
      expect({ stdout: stdout.trim(), status, stderr }).toEqual({ stdout: output, status: 0, stderr: "" })
    } finally {
      rmSync(file, { force: true })
    }
  })
})
