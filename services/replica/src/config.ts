import { readFileSync } from "node:fs"
import { Config, ConfigProvider, Schema } from "effect"

/** What a replica needs to know: from the environment (LOCKSTEP_…), then from the file that LOCKSTEP_CONFIG names. */
export const replicaConfig = Config.all({
  /** LOCKSTEP_SERVERS: NATS servers, comma separated. */
  servers: Config.String("SERVERS").pipe(
    Config.map((list) => list.split(",").map((server) => server.trim())),
  ),
  /** LOCKSTEP_GROUP. */
  group: Config.String("GROUP").pipe(Config.withDefault("main")),
  /** LOCKSTEP_REPLICA: which of the group's replicas this is. */
  replica: Config.NonEmptyString("REPLICA"),
  /** LOCKSTEP_MODULE: a JavaScript module that exports `actors`, a list of decorated classes. */
  module: Config.NonEmptyString("MODULE"),
  /** LOCKSTEP_HEALTH_PORT: of the health server, on loopback. 0 takes a free one and says which. */
  healthPort: Config.schema(Schema.NumberFromString, "HEALTH_PORT").pipe(Config.withDefault(0)),
  /** LOCKSTEP_CREATE_REPLICAS: makes the group, if there is none, with these replicas, comma separated. */
  createReplicas: Config.String("CREATE_REPLICAS").pipe(Config.withDefault("")),
  /** LOCKSTEP_CREATE_PARTITIONS. */
  createPartitions: Config.Int("CREATE_PARTITIONS").pipe(Config.withDefault(1)),
  /** LOCKSTEP_ACCEPT: unsafe settings that are knowingly accepted, comma separated. */
  accept: Config.String("ACCEPT").pipe(Config.withDefault("")),
  /** LOCKSTEP_DETERMINISM: guarded or checked. */
  determinism: Config.Literals(["guarded", "checked", "default"], "DETERMINISM").pipe(
    Config.withDefault("default" as const),
  ),
  user: Config.String("USER").pipe(Config.withDefault("")),
  password: Config.String("PASSWORD").pipe(Config.withDefault("")),
})

/** The environment first, then the file. Throws a plain error for a file that cannot be read. */
export function configProvider(env: Record<string, string | undefined>): ConfigProvider.ConfigProvider {
  const fromEnv = ConfigProvider.fromEnvRecord(env).pipe(ConfigProvider.nested("LOCKSTEP"))
  const file = env["LOCKSTEP_CONFIG"]
  return file === undefined ? fromEnv : fromEnv.pipe(ConfigProvider.orElse(fromFile(file)))
}

/** A JSON object with the same settings in camel case: `{ "servers": "…", "healthPort": 8080 }`. */
function fromFile(file: string): ConfigProvider.ConfigProvider {
  const settings: unknown = JSON.parse(readFileSync(file, "utf8"))
  if (typeof settings !== "object" || settings === null || Array.isArray(settings))
    throw new TypeError(`${file} is not a JSON object of settings`)
  const upper = Object.entries(settings).map(([key, value]) => [
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase(),
    Array.isArray(value) ? value.join(",") : String(value),
  ])
  return ConfigProvider.fromUnknown(Object.fromEntries(upper))
}
