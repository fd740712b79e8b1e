import { Epoch, GroupName, Partition, ReplicaId } from "@lockstep/core"
import {
  type Connection,
  copyRoster,
  createGroup,
  describeGroup,
  GroupMismatch,
  openConnection,
  readRoster,
  startCluster,
  type Server,
  startServer,
  statedRoster,
  stateRoster,
  streamState,
  UnknownGroup,
  UnsafeSetting,
} from "@lockstep/nats"
import { jetstreamManager, type StreamConfig } from "@nats-io/jetstream"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { checkLog, checkSync, readSyncSettings } from "../src/settings.ts"

let server: Server
let connection: Connection
beforeAll(async () => {
  server = await startServer()
  connection = await openConnection({ servers: server.url, name: "test" })
})
afterAll(async () => {
  await connection.close()
  await server.stop()
})

const log = { copies: 1, maxBytes: 1024 ** 2, maxEntryBytes: 1024 } as const
const development = { environment: "development", accept: [] } as const
const replicas = ["r0", "r1", "r2"].map(ReplicaId)

function wanted(name: string, changes: object = {}) {
  return {
    group: GroupName(name),
    replicas,
    partitions: 2,
    checkpointEveryBatches: 1000,
    log,
    ...development,
    ...changes,
  }
}

describe("a group", () => {
  it("is the same for three replicas that make it at once, and for a caller that reads it", async () => {
    const made = await Promise.all([1, 2, 3].map(() => createGroup(connection, wanted("race"))))
    expect(made[1]).toEqual(made[0])
    expect(made[2]).toEqual(made[0])
    expect(await describeGroup(connection, GroupName("race"))).toEqual(made[0])
    expect(new Set(made[0]?.logIds).size).toBe(2)
    expect(made[0]).toMatchObject({ rosters: [{ epoch: 1 }, { epoch: 1 }], partitions: 2, replicas })
  })

  it("states once how many bytes lie between two checkpoints: more room for the log changes nothing of it", async () => {
    const made = await createGroup(connection, wanted("sized"))
    expect(made.checkpointEveryBytes).toBe(log.maxBytes / 8)
    const { streams } = await jetstreamManager(connection.nats)
    await streams.update("LOG_sized_0", { max_bytes: 2 * log.maxBytes })
    expect(await createGroup(connection, wanted("sized"))).toEqual(made)
    const { config } = await streams.info("LOG_sized_0")
    const { "lockstep.checkpoint_every_bytes": _, ...metadata } = config.metadata ?? {}
    await streams.update("LOG_sized_0", { metadata })
    expect(await describeGroup(connection, GroupName("sized"))).toMatchObject({
      checkpointEveryBytes: Infinity,
    })
  })

  it.each([-1, 0])(
    "has no bound of bytes between checkpoints where its log has none: maxBytes %d",
    async (maxBytes) => {
      const made = await createGroup(connection, wanted(`endless${maxBytes}`, { log: { ...log, maxBytes } }))
      expect(made.checkpointEveryBytes).toBe(Infinity)
    },
  )

  it("is not changed by one who wants another: the error says what differs", async () => {
    await createGroup(connection, wanted("fixed"))
    const smaller = createGroup(connection, wanted("fixed", { replicas: replicas.slice(0, 2) }))
    await expect(smaller).rejects.toThrow(GroupMismatch)
    await expect(smaller).rejects.toThrow(/replicas r0,r1,r2, and r0,r1 was asked for/)
    await expect(createGroup(connection, wanted("fixed", { partitions: 3 }))).rejects.toThrow(/partitions 2/)
  })

  it("is refused where its settings are unsafe, also while no server leads the others", async () => {
    await using cluster = await startCluster()
    for (const other of cluster.servers.slice(1)) await other.stop()
    const [url = ""] = cluster.urls
    await using alone = await openConnection({ servers: [url], name: "test" })
    const made = createGroup(alone, wanted("unsafe", { environment: "production" }))
    await expect(made).rejects.toThrow(UnsafeSetting)
  })

  it("has the roster that was copied beside its log, and is the same group for those who made it", async () => {
    const partition = { group: GroupName("moved"), partition: Partition(1) }
    await createGroup(connection, wanted("moved"))
    const roster = { epoch: Epoch(2), voters: ["r0", "r3"].map(ReplicaId), standbys: [ReplicaId("r1")] }
    await copyRoster(connection, partition, { roster, since: 17 })
    const found = await createGroup(connection, wanted("moved"))
    expect(found).toMatchObject({ replicas, rosters: [{ epoch: 1, voters: replicas }, roster] })
    expect(await readRoster(connection, partition)).toEqual(roster)
    expect(await streamState(connection, "LOG_moved_1")).toMatchObject({
      roster,
      rosterSince: 17,
      lastSeq: 0,
    })
    expect(await streamState(connection, "LOG_moved_0")).toMatchObject({ rosterSince: undefined })
  })

  it("has the roster that operators stated in its log, of which the first one for each epoch counts", async () => {
    const partition = { group: GroupName("stated"), partition: Partition(0) }
    await createGroup(connection, wanted("stated"))
    const genesis = await readRoster(connection, partition)
    expect(await statedRoster(connection, partition, genesis, 2)).toEqual({
      roster: genesis,
      since: undefined,
    })
    const next = (epoch: number, ...voters: ReadonlyArray<string>) => {
      return { epoch: Epoch(epoch), voters: voters.map(ReplicaId), standbys: [] }
    }
    const refused = [next(2, "r0"), next(3, "r0", "r1")]
    for (const roster of [...refused, next(2, "r0", "r1"), next(2, "r1", "r2"), next(3, "r0", "r3")])
      expect(await stateRoster(connection, partition, roster)).toMatchObject({ _tag: "Appended" })
    // two were refused before, and of those for the second epoch the second came too late
    expect(await statedRoster(connection, partition, genesis, 2)).toEqual({
      roster: next(3, "r0", "r3"),
      since: 5,
    })
  })

  it("that does not exist is an error that names those that do", async () => {
    await createGroup(connection, wanted("known"))
    const unknown = describeGroup(connection, GroupName("unknown"))
    await expect(unknown).rejects.toThrow(UnknownGroup)
    await expect(unknown).rejects.toThrow(/known/)
  })

  it("is left as it is when another one of its name is asked for", async () => {
    await createGroup(connection, wanted("kept"))
    const other = createGroup(connection, wanted("kept", { partitions: 3 }))
    await expect(other).rejects.toThrow(GroupMismatch)
    const { streams } = await jetstreamManager(connection.nats)
    await expect(streams.info("LOG_kept_2")).rejects.toThrow(/not found/)
  })

  it("refuses to run in production on a single copy, unless that is accepted", async () => {
    const production = { environment: "production" }
    await expect(createGroup(connection, wanted("prod", production))).rejects.toThrow(
      /num_replicas is 1 .*accept "single-copy-log"/,
    )
    const accepted = { ...production, accept: ["single-copy-log"] }
    await expect(createGroup(connection, wanted("prod", accepted))).resolves.toMatchObject({ group: "prod" })
  })
})

describe("the settings of a log", () => {
  const unsafe: ReadonlyArray<readonly [setting: string, value: unknown]> = [
    ["retention", "workqueue"],
    ["storage", "memory"],
    ["discard", "old"],
    ["max_age", 1e9],
    ["max_msgs", 10],
    ["max_msgs_per_subject", 1],
    ["allow_rollup_hdrs", true],
    ["allow_msg_ttl", true],
    ["allow_msg_counter", true],
    ["allow_msg_schedules", true],
    ["deny_delete", false],
    ["allow_direct", true],
    ["mirror", { name: "other" }],
    ["sources", [{ name: "other" }]],
    ["sealed", true],
  ]

  it.each(unsafe)("are refused where %s is %j, by name", async (setting, value) => {
    const config = await configOf("safe")
    expect(() => checkLog(config, development)).not.toThrow()
    const changed = { ...config, [setting]: value }
    expect(() => checkLog(changed, development)).toThrow(UnsafeSetting)
    expect(() => checkLog(changed, development)).toThrow(setting)
  })

  it("are refused where the log has no id", async () => {
    expect(() => checkLog({ ...configWithoutId }, development)).toThrow(/log_id/)
  })

  it("are refused when somebody changed a real stream behind our back", async () => {
    await createGroup(connection, wanted("tampered"))
    const { streams } = await jetstreamManager(connection.nats)
    const { config } = await streams.info("LOG_tampered_1")
    await streams.update("LOG_tampered_1", { ...config, max_age: 600e9 })
    await expect(describeGroup(connection, GroupName("tampered"))).rejects.toThrow(/LOG_tampered_1: max_age/)
  })

  const configWithoutId = {
    name: "x",
    retention: "limits",
    storage: "file",
    discard: "new",
    deny_delete: true,
    num_replicas: 1,
  } as StreamConfig

  async function configOf(name: string): Promise<StreamConfig> {
    await createGroup(connection, wanted(name))
    const { streams } = await jetstreamManager(connection.nats)
    return (await streams.info(`LOG_${name}_0`)).config
  }
})

describe("how the servers write to disk", () => {
  const production = { environment: "production", accept: [] } as const

  it("is read from the server itself", async () => {
    const settings = await readSyncSettings(connection)
    expect(settings?.map(({ always }) => always)).toEqual([true])
    expect(() => checkSync(settings, production)).not.toThrow()
  })

  it("is refused in production where it is an interval, and where it cannot be read", async () => {
    await using lax = await startServer({ syncInterval: "2m" })
    await using other = await openConnection({ servers: lax.url, name: "test" })
    const settings = await readSyncSettings(other)
    expect(() => checkSync(settings, production)).toThrow(/sync_interval.*accept "sync-interval"/)
    expect(() => checkSync(settings, { ...production, accept: ["sync-interval"] })).not.toThrow()
    expect(() => checkSync(undefined, production)).toThrow(/accept "unverified-sync-interval"/)
    expect(() => checkSync(settings, development)).not.toThrow()
  })
})
