// Builds an OpenTelemetry Collector out of infra/otel/collector, into .cache/collector, and writes its path to stdout.
// Order: $OTELCOL (trusted or refused, never passed over), the cache, the Go toolchain. Where there is none, or the
// modules cannot be had, it says why on stderr and ends with 0: whoever wanted a collector does without. Nothing runs
// this by itself. `--cached` builds nothing. Several processes may run it at once: see get-nats-server.mjs.
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const LIMIT_S = 590
const root = join(dirname(fileURLToPath(import.meta.url)), "../..")
const source = join(root, "infra/otel/collector")
const dir = join(process.env.LOCKSTEP_CACHE_DIR || join(root, ".cache"), "collector")
/** One that was built of other files is another. */
const target = join(dir, `collector-${digestOf(["main.go", "go.mod", "go.sum"])}`)

main()

function main() {
  const own = process.env.OTELCOL
  if (own) {
    if (versionOf(own) !== undefined) return found(own)
    say(`OTELCOL is set to ${own}, which does not run, or is no collector`)
    process.exit(1)
  }
  if (versionOf(target) !== undefined) return found(target)
  const go = ["go", "/usr/local/go/bin/go"].find((command) => succeeds(command, ["version"]))
  if (go === undefined)
    return say("there is no Go on this machine to build one with; OTELCOL names one that is there")
  if (process.argv.includes("--cached")) return say("none is built: npm run setup:collector")
  say("building (10 s; where nothing of it was built before, 2 to 5 minutes and 500 MB of Go modules) …")
  const started = Date.now()
  const wrong = build(go)
  if (wrong !== undefined) return say(`it cannot be built here: ${wrong}`)
  say(`${versionOf(target)} in ${((Date.now() - started) / 1000).toFixed(1)} s`)
  found(target)
}

/** What went wrong; undefined where nothing did. */
function build(go) {
  mkdirSync(dir, { recursive: true })
  const work = mkdtempSync(join(dir, "work-"))
  const binary = join(work, "collector")
  try {
    const result = spawnSync(go, ["build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "."], {
      cwd: source,
      encoding: "utf8",
      timeout: LIMIT_S * 1000,
      env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly -buildvcs=false", GOWORK: "off" },
    })
    if (result.error?.code === "ETIMEDOUT") return `no end after ${LIMIT_S} s`
    if (result.error) return result.error.message
    if (result.status !== 0) return lastLines(result.stderr)
    if (versionOf(binary) === undefined) return "what was built does not run"
    renameSync(binary, target)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function lastLines(text) {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("go: downloading"))
  return lines.slice(-3).join("; ")
}

function versionOf(file) {
  if (!existsSync(file)) return undefined
  const result = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 })
  return /\bversion v?(\d+\.\d+\.\d+)/.exec(result.stdout ?? "")?.[1]
}

function succeeds(command, args) {
  return spawnSync(command, args, { stdio: "ignore", timeout: 10_000 }).status === 0
}

function digestOf(files) {
  const hash = createHash("sha256")
  for (const file of files) hash.update(readFileSync(join(source, file)))
  return hash.digest("hex").slice(0, 12)
}

function found(file) {
  process.stdout.write(`${file}\n`)
}

function say(line) {
  process.stderr.write(`collector: ${line}\n`)
}
