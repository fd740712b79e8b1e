// Puts nats-server >= WANT into .cache/nats-server/nats-server without root and without changing the system.
// Order: $NATS_SERVER (trusted or refused, never passed over), the cache, PATH, a signature-checked Debian package,
// `go install`. Runs on Node 20. Several processes may run it at once: each works in a folder of its own and puts
// the finished binary in place with one rename. Writes to stderr only.
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const WANT = "2.15.1"
const root = join(dirname(fileURLToPath(import.meta.url)), "../..")
const dir = join(process.env.LOCKSTEP_CACHE_DIR || join(root, ".cache"), "nats-server")
const target = join(dir, "nats-server")

main()

function main() {
  const own = process.env.NATS_SERVER
  if (own) {
    const wrong = fault(own)
    if (wrong === undefined) return
    fail(
      `NATS_SERVER is set to ${own}, but ${wrong}.\n` +
        `Point it at nats-server ${WANT} or newer, or unset it to have one installed into ${dir}.`,
    )
  }
  if (fault(target) === undefined) return
  mkdirSync(dir, { recursive: true })
  const ways = [
    { name: "PATH", get: fromPath },
    { name: "Debian package", about: "3 to 10 s, at most 2 minutes", get: fromDebian },
    { name: "go install", about: "30 to 60 s, at most 5 minutes", get: fromGo },
  ]
  const reasons = []
  for (const { name, about, get } of ways) {
    if (about) say(`trying ${name} (${about}) …`)
    const started = Date.now()
    try {
      get()
      const wrong = fault(target)
      if (wrong !== undefined) throw new Error(`installed, but ${wrong}`)
      say(`${versionOf(target)} from ${name} in ${((Date.now() - started) / 1000).toFixed(1)} s: ${target}`)
      return
    } catch (error) {
      reasons.push(`${name}: ${error.message}`)
      if (about) say(`${name} did not work`)
    }
  }
  fail(
    `no nats-server ${WANT} or newer. Tried:\n` +
      reasons.map((reason) => `  - ${reason.replaceAll("\n", "\n    ")}\n`).join("") +
      `Any one of these gives it; then run this again:\n` +
      `  - put a nats-server ${WANT} or newer on PATH (brew install nats-server, or a release of nats-io/nats-server)\n` +
      `  - NATS_SERVER=/path/to/nats-server, for a binary that is not on PATH\n` +
      `  - on Debian or Ubuntu: apt, dpkg and the package debian-archive-keyring; DEBIAN_MIRROR names another mirror\n` +
      `  - Go 1.26 or newer on PATH, with access to its module proxy`,
  )
}

function fromPath() {
  const found = (process.env.PATH ?? "")
    .split(delimiter)
    .filter(Boolean)
    .concat("/usr/sbin")
    .map((folder) => join(folder, "nats-server"))
    .filter(existsSync)
  const good = found.find((file) => fault(file) === undefined)
  if (good) return install(good)
  throw new Error(found.map((file) => `${file}: ${fault(file)}`).join("; ") || "has no nats-server")
}

function fromDebian() {
  const keyring = process.env.DEBIAN_KEYRING ?? "/usr/share/keyrings/debian-archive-keyring.gpg"
  if (!existsSync(keyring)) throw new Error(`${keyring} is missing (package debian-archive-keyring)`)
  // the machine's own mirror of the main archive, so proxies and mirrors keep working
  // (--print-uris reads only the sources, so it works before any `apt-get update` and as any user)
  const uris = run("apt-get", ["update", "--print-uris"], 30)
  const uri = process.env.DEBIAN_MIRROR ?? /^'(\S+\/debian)\/dists\/[^/']+\/InRelease'/m.exec(uris)?.[1]
  if (!uri) throw new Error("no Debian mirror in this machine's apt sources; set DEBIAN_MIRROR")
  inOwnFolder((work) => {
    for (const folder of [
      "state/lists/partial",
      "cache/archives/partial",
      "sources.d",
      "preferences.d",
      "out",
    ])
      mkdirSync(join(work, folder), { recursive: true })
    writeFileSync(
      join(work, "sources.d/nats.sources"),
      `Types: deb\nURIs: ${uri}\nSuites: forky sid\nComponents: main\nSigned-By: ${keyring}\n`,
    )
    writeFileSync(join(work, "status"), "")
    writeFileSync(join(work, "apt.conf"), aptConfiguration(work))
    const options = {
      cwd: join(work, "out"),
      env: { ...process.env, APT_CONFIG: join(work, "apt.conf"), LC_ALL: "C" },
    }
    run("apt-get", ["update", "-q", "-o", "APT::Update::Error-Mode=any"], 60, options)
    const versions = run("apt-cache", ["madison", "nats-server"], 30, options)
      .split("\n")
      .map((line) => line.split("|")[1]?.trim())
      .filter(Boolean)
    const pick =
      versions.find((version) => version.startsWith(`${WANT}-`)) ??
      versions.find((version) => atLeast(version.split("-")[0], WANT))
    if (!pick) throw new Error(`the archive has ${versions.join(", ") || "no nats-server"}`)
    run("apt-get", ["download", "-q", `nats-server=${pick}`], 60, options)
    const deb = readdirSync(join(work, "out")).find((file) => file.endsWith(".deb"))
    run("dpkg-deb", ["-x", join(work, "out", deb), join(work, "x")], 30)
    install(join(work, "x/usr/sbin/nats-server"))
  })
}

function fromGo() {
  inOwnFolder((work) => {
    run("go", ["install", `github.com/nats-io/nats-server/v2@v${WANT}`], 300, {
      env: { ...process.env, GOBIN: work, CGO_ENABLED: "0" },
    })
    install(join(work, "nats-server"))
  })
}

/** APT_CONFIG is read before the command line and after /etc/apt/apt.conf.d: proxies stay, hooks go. */
function aptConfiguration(work) {
  return [
    `Dir::Etc::sourcelist "/dev/null";`,
    `Dir::Etc::sourceparts "${work}/sources.d";`,
    `Dir::Etc::preferencesparts "${work}/preferences.d";`,
    `Dir::Etc::preferences "/dev/null";`,
    `Dir::State "${work}/state";`,
    `Dir::State::status "${work}/status";`,
    `Dir::Cache "${work}/cache";`,
    `APT::Sandbox::User "";`,
    `APT::Get::AllowUnauthenticated "false";`,
    `Acquire::AllowInsecureRepositories "false";`,
    `Acquire::Languages "none";`,
    `Acquire::PDiffs "false";`,
    `Acquire::Retries "3";`,
    `Acquire::http::Timeout "15";`,
    `Acquire::https::Timeout "15";`,
    `#clear APT::Update::Pre-Invoke;`,
    `#clear APT::Update::Post-Invoke;`,
    `#clear APT::Update::Post-Invoke-Success;`,
    `#clear DPkg::Post-Invoke;`,
    "",
  ].join("\n")
}

function inOwnFolder(use) {
  const work = mkdtempSync(join(dir, "work-"))
  try {
    use(work)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Atomic, and on the same file system: others see the old binary or the new one, never half of one. */
function install(from) {
  const whole = `${target}.${process.pid}`
  try {
    copyFileSync(from, whole)
    chmodSync(whole, 0o755)
    renameSync(whole, target)
  } finally {
    rmSync(whole, { force: true })
  }
}

function run(command, args, limitS, options = {}) {
  const result = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    timeout: limitS * 1000,
    ...options,
  })
  const line = `${command} ${args.join(" ")}`
  if (result.error?.code === "ENOENT") throw new Error(`there is no ${command} on this machine`)
  if (result.error?.code === "ETIMEDOUT") throw new Error(`${line}: no end after ${limitS} s`)
  if (result.error) throw new Error(`${line}: ${result.error.message}`)
  if (result.status !== 0) throw new Error(`${line}: ${(result.stderr || result.stdout).trim()}`)
  return result.stdout
}

/** Why this file cannot serve; undefined if it can. */
function fault(file) {
  if (!existsSync(file)) return "there is no such file"
  const version = versionOf(file)
  if (version === undefined) return "it does not run, or is no nats-server"
  return atLeast(version, WANT) ? undefined : `it is version ${version}`
}

function versionOf(file) {
  const result = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 })
  return /^nats-server: v?(\d+\.\d+\.\d+)/m.exec(result.stdout ?? "")?.[1]
}

function atLeast(have, want) {
  const [a, b] = [have, want].map((version) => version.split(".").map(Number))
  for (let i = 0; i < 3; i++) if (a[i] !== b[i]) return a[i] > b[i]
  return true
}

function say(line) {
  process.stderr.write(`nats-server: ${line}\n`)
}

function fail(text) {
  process.stderr.write(`nats-server: ${text}\n`)
  process.exit(1)
}
