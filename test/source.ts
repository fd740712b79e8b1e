import { execFileSync } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { basename, join } from "node:path"
import { parseSync, Visitor, type VisitorObject } from "rolldown/utils"

export const root = join(import.meta.dirname, "..")

/** A text file of the repository, as the tidy test reads it. */
export class Source {
  /** From the root of the repository, with forward slashes. */
  readonly path: string
  readonly text: string
  readonly lines: ReadonlyArray<string>
  #parsed: ReturnType<typeof parseSync> | undefined

  constructor(path: string) {
    this.path = path
    this.text = readFileSync(join(root, path), "utf8")
    this.lines = this.text.split("\n")
  }

  get isCode(): boolean {
    return /\.[mc]?[jt]sx?$/.test(this.path)
  }

  get isTypeScript(): boolean {
    return /\.[mc]?tsx?$/.test(this.path)
  }

  get parsed(): ReturnType<typeof parseSync> {
    this.#parsed ??= parseSync(basename(this.path), this.text)
    return this.#parsed
  }

  visit(visitor: VisitorObject): void {
    new Visitor(visitor).visit(this.parsed.program)
  }

  /** Where the character at this offset stands, as an editor can open it. */
  at(offset: number, note = ""): string {
    return `${this.path}:${this.lineAt(offset)}${note && ` ${note}`}`
  }

  /** Counted from 1. */
  lineAt(offset: number): number {
    return this.text.slice(0, offset).split("\n").length
  }

  /** Is there a `//` comment on one of the lines from `start` to `end`? */
  isExplained(start: number, end: number): boolean {
    const [first, last] = [this.lineAt(start), this.lineAt(end)]
    return this.parsed.comments.some((comment) => {
      const line = this.lineAt(comment.start)
      return comment.type === "Line" && line >= first && line <= last && comment.value.trim() !== ""
    })
  }

  /** The lines that match, as an editor can open them. */
  matching(pattern: RegExp): ReadonlyArray<string> {
    return this.lines.flatMap((line, index) =>
      pattern.test(line) ? [`${this.path}:${index + 1} ${pattern.exec(line)?.[0] ?? ""}`] : [],
    )
  }
}

/** Every text file that is committed, or would be by `git add --all`. */
export function sources(): ReadonlyArray<Source> {
  return paths()
    .filter((path) => !/\.(png|jpe?g|gif|ico|pdf|woff2?|wasm|gz|bin)$/.test(path))
    .map((path) => new Source(path))
    .filter((source) => !source.text.includes("\0"))
}

function paths(): ReadonlyArray<string> {
  return execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  })
    .split("\0")
    .filter((path) => path !== "" && existsSync(join(root, path)) && statSync(join(root, path)).isFile())
}

export type CallExpression = Parameters<NonNullable<VisitorObject["CallExpression"]>>[0]
export type Expression = CallExpression["callee"]

/** `a.b["c"]` → a.b.c; undefined for anything that does not start at a plain name. */
export function dotted(node: Expression): string | undefined {
  if (node.type === "Identifier") return node.name
  if (node.type === "ChainExpression" || node.type === "TSNonNullExpression") return dotted(node.expression)
  if (node.type === "CallExpression") return dotted(node.callee)
  if (node.type !== "MemberExpression") return undefined
  const object = dotted(node.object)
  if (object === undefined) return undefined
  if (!node.computed) return `${object}.${node.property.name}`
  return node.property.type === "Literal" ? `${object}.${String(node.property.value)}` : undefined
}
