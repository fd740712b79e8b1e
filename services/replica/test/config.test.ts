import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { afterAll, describe } from "vitest"
import { readConfig, WrongSetting } from "../src/config.ts"

const folder = mkdtempSync(join(tmpdir(), "lockstep-config-"))
afterAll(() => rmSync(folder, { recursive: true }))

const required = {
  LOCKSTEP_SERVERS: "nats://127.0.0.1:4222",
  LOCKSTEP_REPLICA: "r0",
  LOCKSTEP_MODULE: "actors.js",
}

/** The environment that names a file with this content. */
function file(content: unknown): Record<string, string> {
  const path = join(folder, `${Math.random()}.json`)
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content))
  return { LOCKSTEP_CONFIG: path }
}

/** What is wrong with the settings. */
function refusal(env: Record<string, string>): Effect.Effect<string, unknown> {
  return Effect.flip(readConfig(env)).pipe(
    Effect.map((error) => {
      expect(error).toBeInstanceOf(WrongSetting)
      return error.message
    }),
  )
}

describe("the settings", () => {
  it.effect("have defaults, except for servers, replica and module", () =>
    Effect.gen(function* () {
      expect(yield* readConfig(required)).toEqual({
        servers: ["nats://127.0.0.1:4222"],
        group: "main",
        replica: "r0",
        standby: false,
        module: "actors.js",
        healthHost: "127.0.0.1",
        healthPort: 0,
        accept: [],
      })
    }),
  )

  it.effect("come from the environment", () =>
    Effect.gen(function* () {
      const config = yield* readConfig({
        ...required,
        LOCKSTEP_SERVERS: "nats://a:4222, nats://b:4222",
        LOCKSTEP_GROUP: "bank",
        LOCKSTEP_HEALTH_HOST: "0.0.0.0",
        LOCKSTEP_HEALTH_PORT: "8080",
        LOCKSTEP_STANDBY: "true",
        LOCKSTEP_CREATE_COPIES: "3",
        LOCKSTEP_CREATE_REPLICAS: "r0, r1,r2",
        LOCKSTEP_CREATE_PARTITIONS: "4",
        LOCKSTEP_ACCEPT: "sync-interval, single-copy-log",
        LOCKSTEP_DETERMINISM: "checked",
        LOCKSTEP_USER: "r0",
        LOCKSTEP_PASSWORD: "a, b",
      })
      expect(config).toEqual({
        servers: ["nats://a:4222", "nats://b:4222"],
        group: "bank",
        replica: "r0",
        standby: true,
        module: "actors.js",
        healthHost: "0.0.0.0",
        healthPort: 8080,
        createReplicas: ["r0", "r1", "r2"],
        createCopies: 3,
        createPartitions: 4,
        accept: ["sync-interval", "single-copy-log"],
        determinism: "checked",
        user: "r0",
        password: "a, b",
      })
    }),
  )

  it.effect("come from the file in camel case, and the environment goes before it", () =>
    Effect.gen(function* () {
      const settings = {
        servers: ["nats://a:4222", "nats://b:4222"],
        group: "bank",
        replica: "r0",
        module: "actors.js",
        healthPort: 8080,
        createReplicas: ["r0", "r1", "r2"],
        createPartitions: 2,
        accept: "single-copy-log",
      }
      const env = { ...file(settings), LOCKSTEP_REPLICA: "r1", LOCKSTEP_HEALTH_PORT: "9090" }
      expect(yield* readConfig(env)).toMatchObject({
        ...settings,
        replica: "r1",
        healthPort: 9090,
        accept: ["single-copy-log"],
      })
    }),
  )

  it.effect("that are empty are not set", () =>
    Effect.gen(function* () {
      expect(yield* readConfig({ ...required, LOCKSTEP_GROUP: "", LOCKSTEP_CONFIG: "" })).toMatchObject({
        group: "main",
      })
    }),
  )
})

describe("a setting is refused by its name", () => {
  it.effect.each<readonly [name: string, meaning: string]>([
    ["LOCKSTEP_SERVERS", "the NATS servers, comma separated, such as nats://127.0.0.1:4222"],
    ["LOCKSTEP_REPLICA", "the name of this replica, which is one of the group's"],
    ["LOCKSTEP_MODULE", "the file of a JavaScript module that exports `actors`, a list of decorated classes"],
  ])("where it is missing: %s", ([name, meaning]) =>
    Effect.gen(function* () {
      expect(yield* refusal({ ...required, [name]: "" })).toBe(`${name} is not set. It is ${meaning}`)
    }),
  )

  it.effect.each<readonly [name: string, given: string, wanted: RegExp]>([
    ["SERVERS", " , ", /must be the NATS servers, comma separated/],
    ["HEALTH_PORT", "http", /must be the port of the health server: 0 to 65535/],
    ["HEALTH_PORT", "80.5", /0 to 65535/],
    ["HEALTH_PORT", "65536", /0 to 65535/],
    ["HEALTH_PORT", "-1", /0 to 65535/],
    ["CREATE_PARTITIONS", "many", /must be a whole number: the partitions of the group/],
    ["CREATE_REPLICAS", "r0,,r2", /must be the names of the group's replicas, comma separated/],
    ["DETERMINISM", "yes", /must be guarded or checked, and the same for all replicas/],
    ["ACCEPT", "all", /out of single-copy-log, sync-interval, unverified-sync-interval$/],
    ["ACCEPT", "single-copy-log,sync", /out of single-copy-log, sync-interval, unverified-sync-interval$/],
  ])("where it is wrong: LOCKSTEP_%s=%s", ([name, given, wanted]) =>
    Effect.gen(function* () {
      const message = yield* refusal({ ...required, [`LOCKSTEP_${name}`]: given })
      expect(message).toContain(`LOCKSTEP_${name} is ${JSON.stringify(given)}, and must be `)
      expect(message).toMatch(wanted)
    }),
  )

  it.effect.each<readonly [what: string, content: unknown, complaint: RegExp]>([
    [
      "no JSON",
      "servers: nats://a:4222",
      /\.json, which LOCKSTEP_CONFIG names, is not JSON: Unexpected token/,
    ],
    ["no object", ["nats://a:4222"], /is not a JSON object of settings$/],
    [
      "a setting that there is not",
      { healthport: 1 },
      /a setting "healthport", and there are only servers, group, /,
    ],
    [
      "a setting that is an object",
      { servers: { a: 1 } },
      /: servers is neither a text nor a number nor a list/,
    ],
    ["a setting that is wrong", { healthPort: -1 }, /^LOCKSTEP_HEALTH_PORT is "-1", and must be/],
  ])("where the file holds %s", ([, content, complaint]) =>
    Effect.gen(function* () {
      expect(yield* refusal({ ...required, ...file(content) })).toMatch(complaint)
    }),
  )

  it.effect("where the file is not there", () =>
    Effect.gen(function* () {
      const message = yield* refusal({ ...required, LOCKSTEP_CONFIG: join(folder, "nowhere.json") })
      expect(message).toMatch(/nowhere\.json, which LOCKSTEP_CONFIG names, cannot be read: ENOENT/)
    }),
  )
})
