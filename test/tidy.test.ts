import { existsSync, readFileSync } from "node:fs"
import { dirname, join, posix } from "node:path"
import { describe, expect, it } from "vitest"
import { type Expression, Source, dotted, root, sources } from "./source.ts"

// Style as a test (STYLE.md, rule 20). What a lint rule can say is in .oxlintrc.json; this is the rest. Each case
// collects the places that break its rule, so that a failure reads as a list to click through.

const all = sources()
const code = all.filter((source) => source.isCode)
const typescript = all.filter((source) => source.isTypeScript)
const within = (pattern: RegExp): ReadonlyArray<Source> => typescript.filter(({ path }) => pattern.test(path))

describe("replicated code", () => {
  it("takes time and randomness from entries, never from the machine", () => {
    const guard = "framework/actor/src/guard.ts"
    const files = within(/^framework\/(core|actor|replication)\/src\//).filter(({ path }) => path !== guard)
    expect(files.flatMap(ambient)).toEqual([])
  })

  it("does not wait: core and the protocols are synchronous", () => {
    expect(within(/^framework\/(core|replication)\/src\//).flatMap(waiting)).toEqual([])
  })
})

describe("files", () => {
  it("are nouns of the domain", () => {
    const rooms = /^(utils?|helpers?|common|shared|types?|managers?)$/
    const offending = code.filter(({ path }) =>
      path.split("/").some((segment) => segment.split(/[-_.]/).some((word) => rooms.test(word))),
    )
    expect(offending.map(({ path }) => path)).toEqual([])
  })

  it("stay under 400 lines", () => {
    const long = code.filter(({ lines }) => lines.length - 1 > 400)
    expect(long.map(({ path, lines }) => `${path}:${lines.length - 1}`)).toEqual([])
  })

  it("name no package registry, so that everyone's own mirror is used", () => {
    const hosts = [
      ["registry", "npmjs", "org"],
      ["registry", "yarnpkg", "com"],
      ["registry", "npmmirror", "com"],
      ["npm", "pkg", "github", "com"],
      ["proxy", "golang", "org"],
      ["sum", "golang", "org"],
      ["deb", "debian", "org"],
      ["security", "debian", "org"],
      ["archive", "ubuntu", "com"],
      ["pypi", "org"],
      ["pythonhosted", "org"],
      ["static", "crates", "io"],
    ].map((labels) => labels.join(String.raw`\.`))
    const named = new RegExp(`\\b(${hosts.join("|")})\\b`)
    const setting = /^\s*(@[\w-]+:)?registry\s*=|:_authToken\s*=/
    const resolved = /"resolved": "[a-z+]+:\/\//
    const ending = (end: string): ReadonlyArray<Source> => all.filter(({ path }) => path.endsWith(end))
    expect([
      ...all.flatMap((file) => file.matching(named)),
      ...ending(".npmrc").flatMap((file) => file.matching(setting)),
      ...ending("lock.json").flatMap((file) => file.matching(resolved)),
    ]).toEqual([])
  })

  it("name no path of the machine that they were written on", () => {
    const places = [
      ["work", "(main|shared)"],
      ["root"],
      ["home", "(?!node|nonroot)[a-z]+"],
      ["Users", String.raw`\w+`],
    ]
    const machine = new RegExp(`(?<![\\w.}*-])(${places.map((place) => `/${place.join("/")}`).join("|")})/`)
    expect(all.flatMap((file) => file.matching(machine))).toEqual([])
  })
})

describe("tests", () => {
  it("all run: none is the only one, put aside or left to do, and a skip gives its reason on its line", () => {
    expect(within(/\.test\.tsx?$/).flatMap(putAside)).toEqual([])
  })
})

describe("types", () => {
  it("are asserted with the reason on the same line", () => {
    expect(within(/^framework\/[^/]+\/src\//).flatMap(unexplainedAssertions)).toEqual([])
  })

  it("of the public packages are documented where they are declared", () => {
    const doors = within(/^framework\/lockstep\/src\/[^/]+\.ts$/)
    expect([...new Set(doors.flatMap((door) => undocumented(door)))]).toEqual([])
  })
})

describe("packages", () => {
  it("that are a way to replicate consist of the same files", () => {
    const parts = ["mode.ts", "client.ts", "replica.ts", "README.md"]
    const folder = /^framework\/replication\/src\/([^/]+)\/(.+)$/
    const modes = new Set(["state-machine", "primary-backup", "multi-master", "leaderless"])
    const present = new Map<string, Set<string>>()
    for (const { path } of all) {
      const [, mode, file] = folder.exec(path) ?? []
      if (mode === undefined || file === undefined) continue
      present.set(mode, (present.get(mode) ?? new Set()).add(file))
    }
    const missing = [...present]
      .filter(([mode, files]) => modes.has(mode) || parts.slice(0, 3).some((part) => files.has(part)))
      .flatMap(([mode, files]) =>
        parts.filter((part) => !files.has(part)).map((part) => `${mode} lacks ${part}`),
      )
    expect(missing).toEqual([])
  })

  it("are built: each is a reference of the root tsconfig.json", () => {
    const config: { references: ReadonlyArray<{ path: string }> } = JSON.parse(
      readFileSync(join(root, "tsconfig.json"), "utf8"),
    )
    const listed = new Set(config.references.map(({ path }) => path))
    const packages = all
      .filter(({ path }) => /^(framework|services|samples)\/[^/]+\/package\.json$/.test(path))
      .map(({ path }) => dirname(path))
    expect(packages.filter((path) => !listed.has(path))).toEqual([])
    expect(packages.length).toBeGreaterThan(0)
  })
})

function ambient(source: Source): ReadonlyArray<string> {
  const found: Array<string> = []
  const calls = /^(Date|fetch)$/
  const timers = /^(setTimeout|setInterval|setImmediate|queueMicrotask)$/
  const members =
    /^(Date\.now|Math\.random|performance\.now|process\.(hrtime|nextTick|uptime)|\w*[cC]rypto\.(random|getRandom).*)/
  const imported = /^(random|getRandomValues|webcrypto|performance)/
  const name = (node: Expression): string => (dotted(node) ?? "").replace(/^globalThis\./, "")
  source.visit({
    Identifier: (node) => void (timers.test(node.name) && found.push(source.at(node.start, node.name))),
    MemberExpression: (node) =>
      void (members.test(name(node)) && found.push(source.at(node.start, name(node)))),
    CallExpression: (node) =>
      void (calls.test(name(node.callee)) && found.push(source.at(node.start, `${name(node.callee)}()`))),
    NewExpression: (node) =>
      void (
        name(node.callee) === "Date" &&
        node.arguments.length === 0 &&
        found.push(source.at(node.start, "new Date()"))
      ),
    ImportDeclaration(node) {
      const module = node.source.value.replace(/^node:/, "")
      if (module.startsWith("timers")) found.push(source.at(node.start, node.source.value))
      if (!/^(crypto|perf_hooks)$/.test(module)) return
      for (const specifier of node.specifiers)
        if (specifier.type === "ImportSpecifier" && imported.test(nameOf(specifier.imported)))
          found.push(source.at(specifier.start, nameOf(specifier.imported)))
    },
  })
  return found
}

function waiting(source: Source): ReadonlyArray<string> {
  const found: Array<string> = []
  const whenAsync = (node: { async: boolean; start: number }): void =>
    void (node.async && found.push(source.at(node.start, "async")))
  source.visit({
    AwaitExpression: (node) => void found.push(source.at(node.start, "await")),
    FunctionDeclaration: whenAsync,
    FunctionExpression: whenAsync,
    ArrowFunctionExpression: whenAsync,
    ForOfStatement: (node) => void (node.await && found.push(source.at(node.start, "for await"))),
    VariableDeclaration: (node) =>
      void (node.kind === "await using" && found.push(source.at(node.start, "await using"))),
  })
  return found
}

function putAside(source: Source): ReadonlyArray<string> {
  const found: Array<string> = []
  source.visit({
    CallExpression(node) {
      // a conditional skip is two calls, of which the inner one speaks for both
      if (node.callee.type === "CallExpression") return
      const [first = "", ...rest] = (dotted(node.callee) ?? "").split(".")
      if (!/^(it|test|describe|suite|bench)$/.test(first)) return
      const conditional = rest.includes("skipIf") || rest.includes("runIf")
      if (conditional && !source.isExplained(node.start, node.end))
        found.push(source.at(node.start, "skips without a reason on its line"))
      const aside = rest.find((word) => ["only", "skip", "todo", "fails"].includes(word))
      if (aside !== undefined) found.push(source.at(node.start, `${first}.${aside}`))
    },
  })
  return found
}

function unexplainedAssertions(source: Source): ReadonlyArray<string> {
  const found: Array<string> = []
  const check = (node: { start: number; end: number }, from: number): void => {
    if (!source.isExplained(from, node.end))
      found.push(source.at(from, source.text.slice(from, node.end).trim()))
  }
  source.visit({
    TSAsExpression(node) {
      const type = node.typeAnnotation
      const isConst = type.type === "TSTypeReference" && source.text.slice(type.start, type.end) === "const"
      if (!isConst) check(node, node.expression.end)
    },
    TSTypeAssertion: (node) => check(node, node.start),
  })
  return found
}

/** Exported names of this module, followed to where they are declared, that no docstring stands before. */
function undocumented(
  source: Source,
  only?: ReadonlySet<string>,
  seen = new Set<string>(),
): ReadonlyArray<string> {
  const found: Array<string> = []
  if (only === undefined && seen.has(source.path)) return found
  seen.add(source.path)
  for (const node of source.parsed.program.body) {
    if (node.type === "ExportAllDeclaration") {
      const target = resolve(source, node.source.value)
      if (target !== undefined) found.push(...undocumented(target, only, seen))
      continue
    }
    if (node.type !== "ExportNamedDeclaration") continue
    if (node.source !== null) {
      const names = node.specifiers.flatMap(({ local, exported }) =>
        only === undefined || only.has(nameOf(exported)) ? [nameOf(local)] : [],
      )
      const target = resolve(source, node.source.value)
      if (target !== undefined && names.length > 0) found.push(...undocumented(target, new Set(names), seen))
      continue
    }
    const declared = node.declaration
    if (declared === null || !("id" in declared || "declarations" in declared)) continue
    const ids = "declarations" in declared ? declared.declarations.map(({ id }) => id) : [declared.id]
    const names = ids.flatMap((id) => (id?.type === "Identifier" ? [id.name] : []))
    if (only !== undefined && !names.some((name) => only.has(name))) continue
    if (!hasDocstring(source, node.start, names)) found.push(source.at(node.start, names.join(", ")))
  }
  return found
}

/** A docstring ends right before the declaration, its decorators or an overload of the same name. */
function hasDocstring(source: Source, start: number, names: ReadonlyArray<string>): boolean {
  const documented = (at: number): boolean =>
    source.parsed.comments.some(
      ({ type, value, end }) =>
        type === "Block" && value.startsWith("*") && end <= at && source.text.slice(end, at).trim() === "",
    )
  const again = new RegExp(
    String.raw`^export (declare )?(abstract )?(function|const|type|interface|class) (${names.join("|")})\b`,
    "gm",
  )
  return documented(start) || [...source.text.matchAll(again)].some(({ index }) => documented(index))
}

function nameOf(node: { type: string; name?: string; value?: string }): string {
  return node.name ?? node.value ?? ""
}

/** The source that a specifier names, if it is ours. */
function resolve(from: Source, specifier: string): Source | undefined {
  if (specifier.startsWith(".")) return find(posix.join(posix.dirname(from.path), specifier))
  const [, name, subpath] = /^@lockstep\/([^/]+)(\/.+)?$/.exec(specifier) ?? []
  if (name === undefined) return undefined
  return find(`framework/${name}/src${subpath ?? ""}/index.ts`)
}

function find(path: string): Source | undefined {
  return existsSync(join(root, path)) ? typescript.find((source) => source.path === path) : undefined
}
