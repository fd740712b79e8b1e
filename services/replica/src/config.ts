import { readFileSync } from "node:fs"
import { Config, ConfigProvider, Effect, Option, Schema } from "effect"
import type { HostOptions } from "lockstep"

/** A setting is missing or wrong. Says which, in words for the operator. */
export class WrongSetting extends Error {
  override readonly name = "WrongSetting"
}

/** What a replica needs to know. */
export type ReplicaConfig = Effect.Success<ReturnType<typeof readConfig>>

/** Reads each setting from the environment (LOCKSTEP_…), and else from the file that LOCKSTEP_CONFIG names. */
export const readConfig = Effect.fnUntraced(function* (env: Environment) {
  const provider = yield* Effect.try({ try: () => settingsOf(env), catch: asWrongSetting })
  const read = <Value>(name: Name, config: Config.Config<Value>): Effect.Effect<Value, WrongSetting> =>
    config.parse(provider).pipe(Effect.catch(() => complaint(name, provider)))
  const optional = <Value>(name: Name, config: Config.Config<Value>) =>
    read(name, Config.option(config)).pipe(Effect.map(Option.getOrUndefined))
  return yield* Effect.all({
    servers: read("SERVERS", texts("SERVERS")),
    group: read("GROUP", Config.String("GROUP").pipe(Config.withDefault("main"))),
    replica: read("REPLICA", Config.String("REPLICA")),
    module: read("MODULE", Config.String("MODULE")),
    healthHost: read("HEALTH_HOST", Config.String("HEALTH_HOST").pipe(Config.withDefault("127.0.0.1"))),
    healthPort: read("HEALTH_PORT", Config.schema(Port, "HEALTH_PORT").pipe(Config.withDefault(0))),
    standby: read("STANDBY", Config.Boolean("STANDBY").pipe(Config.withDefault(false))),
    createReplicas: optional("CREATE_REPLICAS", texts("CREATE_REPLICAS")),
    createCheckpointEveryBatches: optional(
      "CREATE_CHECKPOINT_EVERY_BATCHES",
      Config.Int("CREATE_CHECKPOINT_EVERY_BATCHES"),
    ),
    createCopies: optional("CREATE_COPIES", Config.schema(Copies, "CREATE_COPIES")),
    createPartitions: optional("CREATE_PARTITIONS", Config.Int("CREATE_PARTITIONS")),
    accept: read("ACCEPT", Config.Array(Acceptance, "ACCEPT").pipe(Config.withDefault([]))),
    dataDir: optional("DATA_DIR", Config.String("DATA_DIR")),
    actorBytesMax: optional("ACTOR_BYTES_MAX", Config.Int("ACTOR_BYTES_MAX")),
    truncateMarginEntries: optional("TRUNCATE_MARGIN_ENTRIES", Config.Int("TRUNCATE_MARGIN_ENTRIES")),
    determinism: optional("DETERMINISM", Config.Literals(["guarded", "checked"], "DETERMINISM")),
    user: optional("USER", Config.String("USER")),
    password: optional("PASSWORD", Config.String("PASSWORD")),
  })
})

type Environment = Readonly<Record<string, string | undefined>>
type Acceptance = NonNullable<HostOptions["accept"]>[number]

/** Every risk that an operator can take, by the name that `host` knows it by. */
const RISKS: Readonly<Record<Acceptance, true>> = {
  "single-copy-log": true,
  "sync-interval": true,
  "unverified-sync-interval": true,
}

/** Every setting, and what it is. */
const SETTINGS = {
  SERVERS: "the NATS servers, comma separated, such as nats://127.0.0.1:4222",
  GROUP: "the name of the replica group; main where it is not set",
  REPLICA: "the name of this replica, which is one of the group's",
  MODULE: "the file of a JavaScript module that exports `actors`, a list of decorated classes",
  HEALTH_HOST: "the address that the health server listens on; 127.0.0.1 where it is not set",
  HEALTH_PORT: "the port of the health server: 0 to 65535, where 0 takes a free one",
  STANDBY:
    "true, where the group need not know this replica: it follows without a vote until an operator names it",
  CREATE_REPLICAS: "the names of the group's replicas, comma separated, where the group is to be made",
  CREATE_CHECKPOINT_EVERY_BATCHES:
    "a whole number: the batches from one checkpoint to the next, where the group is to be made",
  CREATE_COPIES: "1, 3 or 5: the servers that hold each entry of the group's logs, where it is to be made",
  CREATE_PARTITIONS: "a whole number: the partitions of the group, where it is to be made",
  ACCEPT: `unsafe settings to run with knowingly, comma separated, out of ${Object.keys(RISKS).join(", ")}`,
  DATA_DIR: "a folder for this replica's checkpoints and its journal, of its own",
  ACTOR_BYTES_MAX:
    "a whole number: about so many bytes of actors stay in memory, for each partition, although they are in DATA_DIR",
  TRUNCATE_MARGIN_ENTRIES:
    "a whole number: this replica truncates the log behind checkpoints, and leaves so many entries",
  DETERMINISM: "guarded or checked, and the same for all replicas",
  USER: "the user to connect to the servers as",
  PASSWORD: "the user's password",
}

type Name = keyof typeof SETTINGS

const Acceptance = Schema.Trim.pipe(Schema.decodeTo(Schema.Literals(Object.keys(RISKS) as Array<Acceptance>))) // its keys are those
const Port = Schema.FiniteFromString.check(Schema.isInt(), Schema.isBetween({ minimum: 0, maximum: 65_535 }))

const Copies = Schema.FiniteFromString.pipe(Schema.decodeTo(Schema.Literals([1, 3, 5])))

function texts(name: Name): Config.Config<ReadonlyArray<string>> {
  return Config.Array(Schema.Trim.check(Schema.isNonEmpty()), name)
}

/** What is wrong with a setting that could not be read. */
function complaint(name: Name, provider: ConfigProvider.ConfigProvider): Effect.Effect<never, WrongSetting> {
  return Config.String(name)
    .parse(provider)
    .pipe(
      Effect.map((given) => `is ${JSON.stringify(given)}, and must be`),
      Effect.orElseSucceed(() => "is not set. It is"),
      Effect.flatMap((verdict) =>
        Effect.fail(new WrongSetting(`LOCKSTEP_${name} ${verdict} ${SETTINGS[name]}`)),
      ),
    )
}

/** The environment first, then the file. */
function settingsOf(env: Environment): ConfigProvider.ConfigProvider {
  const fromEnv = ConfigProvider.fromEnvRecord({ ...env }).pipe(ConfigProvider.nested("LOCKSTEP"))
  const file = env["LOCKSTEP_CONFIG"] ?? ""
  return file === "" ? fromEnv : fromEnv.pipe(ConfigProvider.orElse(fromFile(file)))
}

/** A JSON object with the same settings in camel case: `{ "servers": ["…"], "healthPort": 8080 }`. */
function fromFile(file: string): ConfigProvider.ConfigProvider {
  const settings = readSettings(file)
  if (typeof settings !== "object" || settings === null || Array.isArray(settings))
    throw new WrongSetting(`${file}, which LOCKSTEP_CONFIG names, is not a JSON object of settings`)
  const known = new Map(Object.keys(SETTINGS).map((name) => [camelCase(name), name]))
  const values = Object.entries(settings).map(([key, value]) => {
    const name = known.get(key)
    if (name === undefined)
      throw new WrongSetting(
        `${file} has a setting ${JSON.stringify(key)}, and there are only ${[...known.keys()].join(", ")}`,
      )
    const items: ReadonlyArray<unknown> = Array.isArray(value) ? value : [value]
    if (!items.every((item) => typeof item === "string" || typeof item === "number"))
      throw new WrongSetting(`${file}: ${key} is neither a text nor a number nor a list of them`)
    return [name, items.join(",")]
  })
  return ConfigProvider.fromUnknown(Object.fromEntries(values))
}

function readSettings(file: string): unknown {
  let text: string
  try {
    text = readFileSync(file, "utf8")
  } catch (cause) {
    throw new WrongSetting(`${file}, which LOCKSTEP_CONFIG names, cannot be read: ${messageOf(cause)}`)
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new WrongSetting(`${file}, which LOCKSTEP_CONFIG names, is not JSON: ${messageOf(cause)}`)
  }
}

/** HEALTH_PORT is healthPort in the file. */
function camelCase(name: string): string {
  return name.toLowerCase().replaceAll(/_[a-z]/g, (letter) => letter.slice(1).toUpperCase())
}

function asWrongSetting(cause: unknown): WrongSetting {
  return cause instanceof WrongSetting ? cause : new WrongSetting(messageOf(cause))
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
