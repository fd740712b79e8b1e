// Puts what `npm run bench -- peers` compares with into .cache/peers/bin, without root and without changing the system:
// node infra/scripts/get-peers.mjs [restate-server] [etcd] [redis-server] [postgres]
// What is good already, there or on PATH, is left alone. Each comes through the package client that this machine has set
// up, which checks it: npm (whose answer must have the hash below), Go's modules, the machine's own Debian archive.
// A peer that cannot be had leaves the others alone; the bench skips it. Writes to stderr only.
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { delimiter, dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = join(dirname(fileURLToPath(import.meta.url)), "../..")
const dir = join(process.env.LOCKSTEP_CACHE_DIR || join(root, ".cache"), "peers")
const bin = join(dir, "bin")

const RESTATE = "1.7.12"
const RESTATE_SDK = "1.17.2"
const ETCD = "3.7.3"
/** What npm must have got, by platform. */
const RESTATE_INTEGRITY = {
  "linux-x64":
    "sha512-URotJ1AIqaSCDkRMl4OrQfTLH+NYuOZb3ZsP7wxxiuAB6pncgPhTUYSvegTF5PTrAShnNyHNpju9kjf2O3QxoA==",
  "linux-arm64":
    "sha512-aV7YxWvPhp88MjQtObGDhDCTwCBa68wwZOAMmJqDreO0auHYuSfOqabEx4I90coZsx3zShNusppbTPKprOa+dw==",
  "darwin-arm64":
    "sha512-pHrZMaaeBJxXTgI19WG/aJvxuUDQ2nhSDEEJVseTZQiTEdJ7hboPlhvYacgXIE2iMnLMmWkN5XIlXqosHK8Byg==",
}
const SDK_INTEGRITY = {
  "restate-sdk":
    "sha512-h1mZqFrkvzWNvTYVPA4WnlqwEzL0eg03//8RV0EGrovjePEDm43ec/PbiN1S7HOP6+6eAhEN7yiLFwUJG9A/yg==",
  "restate-sdk-core":
    "sha512-nq3QexkGkKpNjMHfqs7xhqOwtfO+EYXlp5Oe3L/ig1USocmyrif8EdYk2S9UUp+ybDLdwHb1MGlcXe98i/KM4w==",
}

const PEERS = {
  // its SDK must be there too, so that PATH does not do
  "restate-server": {
    about: "npm, 70 MB",
    get: getRestate,
    want: RESTATE,
    onPath: false,
    versions: /^restate-server (\S+)/,
  },
  etcd: {
    about: "built from Go's modules: one to five minutes",
    get: getEtcd,
    want: ETCD,
    versions: /etcd Version: (\S+)/,
  },
  "redis-server": {
    about: "Debian package",
    get: () => getDebian("redis-server", ["redis-server"]),
    versions: /v=(\S+)/,
  },
  postgres: {
    about: "Debian package",
    get: () => getDebian("postgresql", ["postgres", "initdb"]),
    versions: /\(PostgreSQL\) (\S+)/,
  },
}

main(process.argv.slice(2))

function main(names) {
  const unknown = names.find((name) => !(name in PEERS))
  if (unknown) fail(`there is no peer ${unknown}: there are ${Object.keys(PEERS).join(", ")}`)
  mkdirSync(bin, { recursive: true })
  let missing = 0
  for (const [name, peer] of Object.entries(PEERS)) {
    if (names.length > 0 && !names.includes(name)) continue
    const have = found(name, peer)
    if (have) {
      say(`${name} ${have.version}: ${have.file}`)
      continue
    }
    say(`getting ${name} (${peer.about}) …`)
    try {
      peer.get()
      const got = found(name, peer)
      if (!got) throw new Error("it is there, but it does not run")
      say(`${name} ${got.version}: ${got.file}`)
    } catch (error) {
      missing++
      say(`no ${name}: ${error.message}`)
    }
  }
  if (missing > 0)
    fail(`${missing} missing: put them on PATH, or do without: the bench skips what is not there`)
}

/** The platform's binary and the SDK for its service: not the package that chooses the binary, which runs a script on installing. */
function getRestate() {
  const platform = `${process.platform}-${process.arch}`
  const integrity = RESTATE_INTEGRITY[platform]
  if (!integrity) throw new Error(`there is none for ${platform}`)
  writeFileSync(join(dir, "package.json"), `${JSON.stringify({ private: true })}\n`)
  const server = `restate-server-${platform}`
  const packages = [`@restatedev/${server}@${RESTATE}`, `@restatedev/restate-sdk@${RESTATE_SDK}`]
  run("npm", ["install", "--save-exact", "--ignore-scripts", "--no-audit", "--no-fund", ...packages], 300, {
    cwd: dir,
  })
  const lock = JSON.parse(readFileSync(join(dir, "node_modules/.package-lock.json"), "utf8"))
  for (const [name, want] of Object.entries({ [server]: integrity, ...SDK_INTEGRITY }))
    if (lock.packages[`node_modules/@restatedev/${name}`]?.integrity !== want) {
      rmSync(join(dir, "node_modules"), { recursive: true, force: true })
      throw new Error(`npm got another @restatedev/${name} than was published when this was written`)
    }
  link("restate-server", `../node_modules/@restatedev/${server}/bin/restate-server`)
}

/** A module of our own that requires it: `go install` refuses modules that replace others. Go checks sums with its database. */
function getEtcd() {
  const env = { ...process.env, CGO_ENABLED: "0", PATH: `${process.env.PATH}${delimiter}/usr/local/go/bin` }
  inOwnFolder((work) => {
    const go = (args, limitS) => run("go", args, limitS, { cwd: work, env })
    go(["mod", "init", "peers"], 30)
    go(["get", `go.etcd.io/etcd/server/v3@v${ETCD}`], 300)
    go(["build", "-trimpath", "-o", join(work, "etcd"), "go.etcd.io/etcd/server/v3"], 900)
    renameSync(join(work, "etcd"), join(bin, "etcd"))
  })
}

/** The package and what it needs that this machine lacks, unpacked into a folder: apt checks the signatures. */
function getDebian(name, programs) {
  const plan = run("apt-get", ["install", "-s", "--no-install-recommends", name], 30)
  const lacking = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, each]) => each)
  const target = join(dir, name)
  inOwnFolder((work) => {
    run("apt-get", ["download", "-q", "-o", 'APT::Sandbox::User=""', ...lacking], 180, { cwd: work })
    rmSync(target, { recursive: true, force: true })
    for (const file of readdirSync(work)) run("dpkg-deb", ["-x", join(work, file), target], 60)
  })
  const libraries = join(target, "usr/lib")
  const multiarch = existsSync(libraries) && readdirSync(libraries).find((each) => each.includes("-linux-"))
  for (const program of programs) {
    const [file] = run("find", [target, "-path", `*/bin/${program}`], 10).split("\n")
    if (!file) throw new Error(`there is no ${program} in ${lacking.join(", ") || "nothing"}`)
    // by where it is itself, so that the cache can be moved
    const inCache = (path) => `"$peers/${relative(dir, path)}"`
    const start = `LD_LIBRARY_PATH=${inCache(join(libraries, multiarch || ""))} exec ${inCache(file)} "$@"`
    writeFileSync(join(bin, program), `#!/bin/sh\npeers="$(cd "$(dirname "$0")/.." && pwd)"\n${start}\n`)
    chmodSync(join(bin, program), 0o755)
  }
}

/** On PATH any version will do; what this put into the cache must be what this would put there now. */
function found(name, { versions, want, onPath = true }) {
  const folders = [bin, ...(onPath ? [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin"] : [])]
  for (const folder of folders) {
    const file = join(folder, name)
    if (!existsSync(file)) continue
    const { stdout } = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 10_000 })
    const version = versions.exec(stdout ?? "")?.[1]
    if (version && (folder !== bin || !want || version === want)) return { file, version }
  }
  return undefined
}

function link(name, to) {
  rmSync(join(bin, name), { force: true })
  symlinkSync(to, join(bin, name))
}

function inOwnFolder(use) {
  const work = mkdtempSync(join(dir, "work-"))
  try {
    use(work)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

function run(command, args, limitS, options = {}) {
  const result = spawnSync(command, args, { encoding: "utf8", timeout: limitS * 1000, ...options })
  if (result.error) throw new Error(`${command}: ${result.error.message}`)
  if (result.status !== 0)
    throw new Error(`${command} ${args[0]}: ${(result.stderr || result.stdout).trim()}`)
  return result.stdout
}

function say(line) {
  process.stderr.write(`peers: ${line}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}
