import { randomBytes } from "node:crypto"
import { type ActorClass, type ActorClient, actorMethods, type Call, define } from "@lockstep/actor"
import {
  ClientId,
  type Diverged,
  genesisRoster,
  GroupName,
  type NoQuorum,
  type OutcomeUnknown,
  Overloaded,
  Partition,
  partitionOf,
} from "@lockstep/core"
import { type ConnectionOptions, describeGroup, type GroupDescriptor, openConnection } from "@lockstep/nats"
import {
  CLIENT_LIMITS,
  type ClientCounts,
  type ClientLimits,
  type Dissent,
  type Reads,
  type ReplicationMode,
} from "@lockstep/replication"
import { totalOf } from "./counts.ts"
import { checkTogether, hostable } from "./hosting.ts"
import { callOf, Lane } from "./lane.ts"
import { checkBaggage } from "./telemetry/baggage.ts"

/** Where a group is, and what the client may take up. */
export interface ConnectOptions extends Omit<ConnectionOptions, "name"> {
  /** The replica group to call. Default: `"main"`. */
  readonly group?: string
  /** Shown in the servers' connection lists. */
  readonly name?: string
  /** Bounds of everything that waits; `deadlineMs` is how long a call may take. */
  readonly limits?: Partial<ClientLimits>
  /** Told of every vote that differed from what was decided. */
  readonly onDissent?: (dissent: Dissent) => void
  /**
   * Names of OpenTelemetry baggage entries that travel with a call that is traced, for spans and log records of replicas. Default: none. Replicas and their logs see
   * them, and a command must not decide by them: a replica that executes it once more has none.
   */
  readonly baggage?: ReadonlyArray<string>
}

/** How the calls of one actor's client are made. */
export interface ActorOptions {
  /** What its queries may miss. Default: `"linearizable"`, nothing. Where all replicas execute, queries are ordered, and a bound is refused. */
  readonly reads?: Reads
}

/** A connection to one replica group. */
export interface Client extends AsyncDisposable {
  readonly group: GroupDescriptor
  /**
   * The client of one actor, typed from its class. Costs nothing on the network; the actor is created on first use.
   *
   * Throws InvalidArgument for a key that is none, DefinitionError for a class that this group cannot host, and TypeError for `reads` that its mode
   * does not have.
   */
  actor<Instance extends object>(
    actorClass: ActorClass<Instance>,
    key: string,
    options?: ActorOptions,
  ): ActorClient<Instance>
  /**
   * Waits again for a command that ended undecided, under its own number: it is never executed twice. Rejects like the
   * call itself would.
   */
  retry(error: NoQuorum | OutcomeUnknown | Diverged): Promise<unknown>
  /** What the votes were, since the start. */
  readonly counts: ClientCounts
  /** Ends what waits with an error and disconnects. What is called afterwards is rejected: it is not executed. */
  close(): Promise<void>
}

/**
 * Connects to a replica group.
 *
 * Rejects with LogUnavailable, ServerTooOld, UnknownGroup or UnsafeSetting, and with TypeError for what is no name of a baggage entry: nothing was sent
 * then.
 */
export async function connect(options: ConnectOptions): Promise<Client> {
  const { group = "main", name = "lockstep-client", limits, onDissent = () => undefined, ...others } = options
  const { baggage = [], ...server } = others
  checkBaggage(baggage)
  const groupName = GroupName(group)
  const connection = await openConnection({ ...server, name })
  try {
    const descriptor = await describeGroup(connection, groupName)
    const bounds = { ...CLIENT_LIMITS, ...limits }
    bounds.batchBytesMax = Math.min(bounds.batchBytesMax, descriptor.entryBytesMax - ENTRY_OVERHEAD_BYTES)
    const client = `c${randomBytes(12).toString("hex")}`
    const lanes = new Map<string, Lane>()
    let first: ActorClass | undefined
    let closed = false
    const laneOf = (mode: ReplicationMode, partition: Partition): Lane => {
      const id = `${partition}/${mode.lane}`
      let lane = lanes.get(id)
      if (lane === undefined) {
        lane = new Lane({
          mode,
          connection,
          onDissent,
          baggage,
          options: {
            group: groupName,
            partition,
            roster: descriptor.rosters[partition] ?? genesisRoster(descriptor.replicas),
            logId: descriptor.logIds[partition] ?? "",
            client: ClientId(`${client}-${lanes.size}`),
            limits: bounds,
          },
        })
        lanes.set(id, lane)
      }
      return lane
    }
    const close = async (): Promise<void> => {
      closed = true
      for (const lane of lanes.values()) lane.close()
      await connection.close()
    }
    return {
      group: descriptor,
      actor<Instance extends object>(
        actorClass: ActorClass<Instance>,
        key: string,
        actorOptions: ActorOptions = {},
      ): ActorClient<Instance> {
        const definition = define(actorClass)
        const mode = hostable(actorClass, descriptor)
        checkTogether(actorClass, (first ??= actorClass))
        const { reads } = actorOptions
        if (reads !== undefined) checkReads(reads, actorClass, mode)
        let lane: Lane | undefined
        const invoke = (call: Call): Promise<unknown> => {
          if (closed)
            return Promise.reject(new Overloaded("The client was closed before it sent the command"))
          lane ??= laneOf(mode, partitionOf({ type: definition.type, key }, descriptor.partitions))
          // where one replica executes, queries go another way than commands
          const isRead = mode.execution === "once" && call.member.kind === "query"
          return lane.invoke(isRead ? { ...call, reads: reads ?? "linearizable" } : call)
        }
        return actorMethods(definition, key, invoke) as unknown as ActorClient<Instance> // define() checked that these are the methods
      },
      async retry(error) {
        const known = callOf(error)
        if (known === undefined || closed) throw error
        if (error.command === undefined) return known.lane.invoke(known.call)
        return known.lane.retry(error.command.number, known.call)
      },
      get counts() {
        return totalOf([...lanes.values()].map((lane) => lane.counts))
      },
      close,
      [Symbol.asyncDispose]: close,
    }
  } catch (cause) {
    await connection.close()
    throw cause
  }
}

/** What JetStream counts towards the size of an entry beside its payload: the subject and one header, at most. */
const ENTRY_OVERHEAD_BYTES = 512

/** Throws TypeError. */
function checkReads(reads: Reads, { name }: ActorClass, { kind, execution }: ReplicationMode): void {
  if (reads === "linearizable") return
  if (!(Number.isFinite(reads.maxStalenessMs) && reads.maxStalenessMs >= 0))
    throw new TypeError(
      `reads of ${name}: maxStalenessMs is ${reads.maxStalenessMs}, and must be a number of milliseconds from 0`,
    )
  if (execution === "everywhere")
    throw new TypeError(
      `reads of ${name} cannot be stale: its mode is ${kind}, in which every query has a place in the log's order, and sees all before it. Leave out \`reads\``,
    )
}
