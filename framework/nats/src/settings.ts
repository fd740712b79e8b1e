import type { GroupName, Partition } from "@lockstep/core"
import type { StreamConfig } from "@nats-io/jetstream"
import type { Connection } from "./connection.ts"
import { entriesSubject, streamName } from "./subjects.ts"

/** Where a group runs: production refuses what development reports. */
export type Environment = "development" | "production"

/** Unsafe settings that an operator may accept, by name. */
export type Acceptance = "single-copy-log" | "sync-interval" | "unverified-sync-interval"

export interface LogSettings {
  /** Servers that hold each entry: 1 in development, 3 or 5 in production. */
  readonly copies: 1 | 3 | 5
  /** Bytes of the log, at most: when it is full, new entries are refused. */
  readonly maxBytes: number
  /** Bytes of one entry, at most. */
  readonly maxEntryBytes: number
}

/** A setting that would break a promise. Nothing was sent. */
export class UnsafeSetting extends Error {
  readonly _tag = "UnsafeSetting"
  override readonly name = "UnsafeSetting"
  readonly setting: string
  readonly found: string
  readonly wanted: string

  constructor(unsafe: {
    readonly where: string
    readonly setting: string
    readonly found: unknown
    readonly wanted: string
    readonly why: string
    readonly accept?: Acceptance
  }) {
    const found = JSON.stringify(unsafe.found) ?? "not set"
    const accept =
      unsafe.accept === undefined ? "" : ` To run with it knowingly, accept ${JSON.stringify(unsafe.accept)}.`
    super(
      `${unsafe.where}: ${unsafe.setting} is ${found} and must be ${unsafe.wanted}: ${unsafe.why}.${accept}`,
    )
    this.setting = unsafe.setting
    this.found = found
    this.wanted = unsafe.wanted
  }
}

/** The stream that is one partition's log. */
export function logConfig(
  group: GroupName,
  partition: Partition,
  settings: LogSettings,
  metadata: Readonly<Record<string, string>>,
): Partial<StreamConfig> & { readonly name: string } {
  return {
    name: streamName(group, partition),
    subjects: [entriesSubject(group, partition)],
    ...ALWAYS,
    num_replicas: settings.copies,
    max_bytes: settings.maxBytes,
    max_msg_size: settings.maxEntryBytes,
    duplicate_window: 120e9,
    metadata: { ...metadata },
  } as Partial<StreamConfig> & { readonly name: string } // the constants below are members of the library's enums
}

/** Throws {@link UnsafeSetting} for the first setting of an existing stream that would break a promise. */
export function checkLog(
  config: StreamConfig,
  options: { readonly environment: Environment; readonly accept: ReadonlyArray<Acceptance> },
): void {
  const where = `stream ${config.name}`
  const found = config as unknown as Readonly<Record<string, unknown>> // its settings are compared by name
  for (const [setting, { wanted, why }] of Object.entries(REQUIRED)) {
    const value = found[setting]
    if (!wanted.includes(value))
      throw new UnsafeSetting({ where, setting, found: value, wanted: JSON.stringify(wanted[0]), why })
  }
  if (!config.metadata?.["log_id"])
    throw new UnsafeSetting({
      where,
      setting: "metadata.log_id",
      found: config.metadata?.["log_id"],
      wanted: "a UUID",
      why: "without it a log that was deleted and made again cannot be told from the old one",
    })
  if (
    config.num_replicas === 1 &&
    options.environment === "production" &&
    !options.accept.includes("single-copy-log")
  )
    throw new UnsafeSetting({
      where,
      setting: "num_replicas",
      found: 1,
      wanted: "3 or 5",
      why: "the log is the only copy of what was promised, and one disk can fail",
      accept: "single-copy-log",
    })
}

/** How a server writes entries to disk: before it acknowledges them, or at intervals. */
export interface SyncSetting {
  readonly server: string
  readonly always: boolean
}

/** What every server says of itself, or undefined where the account may not ask (infra/nats shows how to allow it). */
export async function readSyncSettings(
  connection: Connection,
): Promise<ReadonlyArray<SyncSetting> | undefined> {
  const settings: Array<SyncSetting> = []
  try {
    const answers = await connection.nats.requestMany("lockstep.settings", JSON.stringify({ config: true }), {
      strategy: "stall",
      maxWait: 1000,
      stall: 200,
    })
    for await (const answer of answers) {
      const { server, data } = answer.json<{
        readonly server?: { readonly name?: string }
        readonly data?: { readonly config?: { readonly sync_always?: boolean } }
      }>()
      settings.push({ server: server?.name ?? "unknown", always: data?.config?.sync_always === true })
    }
  } catch {
    return undefined
  }
  return settings.length === 0 ? undefined : settings
}

/** Production only: throws {@link UnsafeSetting} for a server that acknowledges entries before they are on its disk. */
export function checkSync(
  settings: ReadonlyArray<SyncSetting> | undefined,
  options: { readonly environment: Environment; readonly accept: ReadonlyArray<Acceptance> },
): void {
  if (options.environment !== "production") return
  const unsafe = {
    setting: "jetstream.sync_interval",
    wanted: "always",
    why: "otherwise entries that were acknowledged in the last two minutes are lost at a power failure",
  }
  if (settings === undefined) {
    if (options.accept.includes("unverified-sync-interval")) return
    const found =
      "not readable with these credentials (infra/nats/production.conf shows the import that allows it)"
    throw new UnsafeSetting({ ...unsafe, where: "the servers", found, accept: "unverified-sync-interval" })
  }
  const lax = settings.find((setting) => !setting.always)
  if (lax !== undefined && !options.accept.includes("sync-interval"))
    throw new UnsafeSetting({
      ...unsafe,
      where: `server ${lax.server}`,
      found: "an interval",
      accept: "sync-interval",
    })
}

/** The settings of every log, whatever its size. */
const ALWAYS = {
  retention: "limits",
  storage: "file",
  discard: "new",
  max_age: 0,
  max_msgs: -1,
  max_msgs_per_subject: -1,
  deny_delete: true,
  deny_purge: false,
  allow_rollup_hdrs: false,
  allow_direct: false,
  mirror_direct: false,
  allow_msg_ttl: false,
}

const NEVER = [false, undefined] as const
const HOLES = "entries would go, or come, by themselves, and replicas could not agree on the log"
const REQUIRED: Readonly<Record<string, { readonly wanted: ReadonlyArray<unknown>; readonly why: string }>> =
  {
    retention: { wanted: ["limits"], why: HOLES },
    storage: { wanted: ["file"], why: "a log in memory is gone with its server" },
    discard: { wanted: ["new"], why: "a full log must refuse new entries, not forget old ones" },
    max_age: { wanted: [0, undefined], why: HOLES },
    max_msgs: { wanted: [-1, undefined], why: HOLES },
    max_msgs_per_subject: { wanted: [-1, undefined], why: HOLES },
    allow_rollup_hdrs: { wanted: NEVER, why: HOLES },
    allow_msg_ttl: { wanted: NEVER, why: HOLES },
    allow_msg_counter: { wanted: NEVER, why: HOLES },
    allow_msg_schedules: { wanted: NEVER, why: HOLES },
    deny_delete: { wanted: [true], why: "nobody may delete an entry" },
    allow_direct: {
      wanted: NEVER,
      why: "followers would answer reads of the log's end with old news",
    },
    mirror: { wanted: [undefined], why: "a mirror is not sequenced by its own consensus" },
    sources: { wanted: [undefined], why: "entries would come from elsewhere" },
    sealed: { wanted: NEVER, why: "a sealed log takes no entries" },
  }
