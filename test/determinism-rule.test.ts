import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { root } from "./source.ts"

// The rules of infra/oxlint/determinism.mjs, as this repository sets them. The samples are text, so that nothing else
// judges them.

const imports = `
import nodeCrypto, { createHash, randomUUID as uuid, webcrypto } from "node:crypto"
import { readFileSync } from "fs"
import { performance as clock } from "node:perf_hooks"
import { setTimeout as wait } from "node:timers/promises"
import { Command, Replicated } from "lockstep"
import { now } from "./context.ts"`

/** A statement in a command, and what is reported of it. */
const statements: ReadonlyArray<readonly [statement: string, reported: string]> = [
  ["Date.now()", "Date.now"],
  ["globalThis.Date.now()", "Date.now"],
  ["Date['now']()", "Date.now"],
  ["new Date()", "new Date()"],
  ["Date()", "Date()"],
  ["Math.random()", "Math.random"],
  ["const { random } = Math", "Math.random"],
  ["[1, 2].sort(() => Math.random())", "Math.random"],
  ["const later = Date.now", "Date.now"],
  ["performance.now()", "performance.now"],
  ["clock.now()", "clock.now"],
  ["process.hrtime.bigint()", "process.hrtime.bigint"],
  ["process.env.MODE", "process.env.MODE"],
  ["process.pid", "process.pid"],
  ["crypto.randomUUID()", "crypto.randomUUID"],
  ["crypto.getRandomValues(bytes)", "crypto.getRandomValues"],
  ["uuid()", "uuid"],
  ["nodeCrypto.randomBytes(1)", "nodeCrypto.randomBytes"],
  ["webcrypto.getRandomValues(bytes)", "webcrypto.getRandomValues"],
  ["setTimeout(f, 1)", "setTimeout()"],
  ["queueMicrotask(f)", "queueMicrotask()"],
  ["wait(1)", "wait"],
  ["fetch('http://a')", "fetch()"],
  ["readFileSync('a')", "readFileSync"],
  ["new WebSocket('ws://a')", "new WebSocket()"],
  ["new WeakRef(f)", "new WeakRef()"],
  ["Atomics.wait(a, 0, 0)", "Atomics.wait"],
  ["AbortSignal.timeout(1)", "AbortSignal.timeout"],
  ["Temporal.Now.instant()", "Temporal.Now.instant"],
  ["f(async () => 1)", "async"],
  ["await f", "async"],
  // and what is not
  ["new Date(5)", ""],
  ["new Date(context.now)", ""],
  ["Date.UTC(2020)", ""],
  ["Math.max(1, 2)", ""],
  ["createHash('sha256')", ""],
  ["context.random()", ""],
  ["now()", ""],
  ["this.fetch()", ""],
  ["const Date = { now: () => 1 }; Date.now()", ""],
  ["const crypto = this; crypto.randomUUID()", ""],
]

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), "lockstep-lint-"))))
afterAll(() => rmSync(folder, { recursive: true }))

describe("lint", () => {
  it("reports in a replicated class what differs between replicas, and nothing else", () => {
    const expected = statements.map(([statement, reported]) => `${statement} → ${reported}`)
    expect(judge("@Replicated({ name, version, mode })")).toEqual(expected)
    expect(judge("@lockstep.Replicated({ name, version, mode })")).toEqual(expected)
  })

  it("leaves other classes alone", () => {
    const unreported = statements.map(([statement]) => `${statement} → `)
    expect(judge("")).toEqual(unreported)
    expect(judge("@Component({ name })")).toEqual(unreported)
  })

  it("leaves a class alone that runs in one place", () => {
    const unreported = statements.map(([statement]) => `${statement} → `)
    expect(judge("@Replicated({ name, version, mode: primaryBackup({ replication }) })")).toEqual(unreported)
    expect(judge("@Replicated({ name, version, mode: lockstep.primaryBackup(options) })")).toEqual(unreported)
  })
})

/** What is reported of each statement in a method of a class that is decorated so. One method a line. */
function judge(decorator: string): ReadonlyArray<string> {
  const methods = statements.map(([statement], i) => {
    const asynchronous = statement.startsWith("await") ? "async " : ""
    return `@Command() ${asynchronous}m${i}(context, f, a, bytes) { ${statement} }`
  })
  const lines = [...imports.trim().split("\n"), `${decorator} class Account {`, ...methods, "}"]
  const first = lines.indexOf(methods[0] ?? "") + 1
  const reports = lint(lines.join("\n"))
  return statements.map(([statement], i) => {
    const names = reports.filter(({ line }) => line === first + i).map(({ name }) => name)
    return `${statement} → ${[...new Set(names)].join(" and ")}`
  })
}

function lint(text: string): ReadonlyArray<{ readonly line: number; readonly name: string }> {
  const repository: Readonly<Record<string, unknown>> & { rules: Readonly<Record<string, unknown>> } =
    JSON.parse(readFileSync(join(root, ".oxlintrc.json"), "utf8"))
  const rules = Object.entries(repository.rules).filter(([rule]) => rule.startsWith("lockstep/"))
  const config = {
    jsPlugins: [join(root, "infra/oxlint/determinism.mjs")],
    categories: { correctness: "off" },
    rules: Object.fromEntries(rules),
  }
  writeFileSync(join(folder, "oxlint.json"), JSON.stringify(config))
  writeFileSync(join(folder, "account.ts"), text)
  const oxlint = join(root, "node_modules/oxlint/bin/oxlint")
  const { stdout } = spawnSync(process.execPath, [oxlint, "-c", "oxlint.json", "-f", "json", "account.ts"], {
    cwd: folder,
    encoding: "utf8",
  })
  const { diagnostics }: { diagnostics: ReadonlyArray<Diagnostic> } = JSON.parse(stdout)
  return diagnostics.map(({ code, message, labels: [label] }) => ({
    line: label.span.line,
    name: code === "lockstep(no-async)" ? "async" : (/^'(.+)' differs/.exec(message)?.[1] ?? message),
  }))
}

interface Diagnostic {
  readonly code: string
  readonly message: string
  readonly labels: readonly [{ readonly span: { readonly line: number } }]
}
