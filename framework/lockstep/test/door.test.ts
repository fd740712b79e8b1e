import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import * as lockstep from "lockstep"
import * as develop from "lockstep/develop"
import * as effect from "lockstep/effect"
import * as testing from "lockstep/testing"
import { describe, expect, it } from "vitest"

/** What users import, as values. Adding to it is easy; taking away breaks somebody. */
const VALUES = {
  lockstep: [
    "ActorError",
    "Command",
    "DefinitionError",
    "Diverged",
    "GroupMismatch",
    "HandOverUnfinished",
    "InvalidArgument",
    "LockstepError",
    "LogUnavailable",
    "MarginTooSmall",
    "MembershipConflict",
    "NatsServerMissing",
    "NoQuorum",
    "Nondeterminism",
    "NotEnoughReplicas",
    "OutcomeUnknown",
    "Overloaded",
    "Query",
    "Replicated",
    "SchemaConflict",
    "ServerTooOld",
    "SessionExpired",
    "UnknownGroup",
    "UnsafeSetting",
    "UpgradeRefused",
    "UpgradeUnfinished",
    "WrongBuild",
    "changeMembership",
    "connect",
    "createGroup",
    "erasureCoded",
    "handOver",
    "host",
    "primaryBackup",
    "stateMachine",
    "truncateLogs",
    "upgradeSchema",
  ],
  "lockstep/develop": ["develop", "endWithUs", "startServer"],
  "lockstep/effect": ["ConnectError", "Lockstep", "connect"],
  "lockstep/testing": [
    "MalformedHistory",
    "Random",
    "SimulationFailed",
    "checkConvergence",
    "checkLinearizability",
    "checkLogOrder",
    "checkTail",
    "classModel",
    "readHistory",
    "simulate",
    "writeHistory",
  ],
}

const TYPES = {
  index: [
    "ActorClass",
    "ActorClient",
    "ActorContext",
    "ActorOptions",
    "ChangeMembershipOptions",
    "Client",
    "Coding",
    "CommandEffect",
    "ConnectOptions",
    "CreateGroupOptions",
    "Determinism",
    "Dissent",
    "HandOverOptions",
    "Host",
    "HostEvent",
    "HostOptions",
    "PrimaryBackupOptions",
    "Reads",
    "ReignReport",
    "StateMachineOptions",
    "Timing",
    "TruncateOptions",
    "TruncatedLog",
    "Testimony",
    "UpgradeOptions",
  ],
  develop: ["Development", "DevelopOptions", "Server"],
  testing: ["Operation", "SequentialModel", "SimulateOptions", "Totals"],
}

const root = new URL("../", import.meta.url)

describe("the public door", () => {
  it("exports these values and no others", () => {
    const names = (module: object) => Object.keys(module).toSorted()
    expect({
      lockstep: names(lockstep),
      "lockstep/develop": names(develop),
      "lockstep/effect": names(effect),
      "lockstep/testing": names(testing),
    }).toEqual(VALUES)
  })

  it.each(Object.entries(TYPES))("exports from %s.ts these types and no others", (file, types) => {
    const source = readFileSync(new URL(`src/${file}.ts`, root), "utf8")
    const exported = [...source.matchAll(/^export \{(.*?)\}/gms)].flatMap(([, names = ""]) =>
      names.split(","),
    )
    const found = exported.flatMap((name) => /^\s*type (?:\w+ as )?(\w+)\s*$/.exec(name)?.[1] ?? [])
    expect(found.toSorted()).toEqual(types.toSorted())
  })

  it("has the sub paths that package.json says, and each can be imported as it is built", () => {
    const { exports }: { readonly exports: object } = JSON.parse(
      readFileSync(new URL("package.json", root), "utf8"),
    )
    const paths = Object.keys(exports).flatMap((path) =>
      path === "./package.json" ? [] : [`lockstep${path.slice(1)}`],
    )
    expect(paths.toSorted()).toEqual(Object.keys(VALUES))
    const program = `
      const names = {}
      for (const path of ${JSON.stringify(paths)}) names[path] = Object.keys(await import(path)).sort()
      console.log(JSON.stringify(names))`
    const printed = execFileSync(process.execPath, ["--input-type=module", "-e", program], { cwd: root })
    expect(JSON.parse(printed.toString())).toEqual(VALUES)
  })
})
