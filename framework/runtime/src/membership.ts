import { setTimeout as sleep } from "node:timers/promises"
import {
  Epoch,
  GroupName,
  isSameMembership,
  Partition,
  type PeerReport,
  type ReplicaId,
  type Roster,
} from "@lockstep/core"
import {
  type Connection,
  type ConnectionOptions,
  copyRoster,
  describeGroup,
  type GroupDescriptor,
  type Log,
  LogUnavailable,
  openConnection,
  readRoster,
  statedRoster,
  stateRoster,
  streamName,
  streamState,
} from "@lockstep/nats"
import type { ReplicationMode } from "@lockstep/replication"
import { replicaIds } from "./create.ts"
import { onReports, REPORTS_MS } from "./reports.ts"

/** Who is to vote in a group from now on, and who is to follow. */
export interface ChangeMembershipOptions extends Omit<ConnectionOptions, "name"> {
  /** Default: `"main"`. */
  readonly group?: string
  /**
   * The mode of the classes that the group hosts: it says how many voters a decision needs. Where they have several, that of the first
   * class in the hosts' `actors`: it is the one that replicas judge a roster by.
   */
  readonly mode: ReplicationMode
  /** All replicas that are to vote, those included that do so already. */
  readonly voters: ReadonlyArray<string>
  /** All replicas that are to follow without a vote. Default: none. */
  readonly standbys?: ReadonlyArray<string>
}

/** A replica that is not fit to vote now. */
export interface UnfitReplica {
  readonly replica: ReplicaId
  /** How far it has executed; undefined where nothing was heard of it. */
  readonly applied: number | undefined
  /** It was wrong, and is not believed again yet. */
  readonly onProbation: boolean
}

/** With these voters the group could not answer, or would stop at the next fault for want of one that is not there yet. Nothing was changed. */
export class MarginTooSmall extends Error {
  readonly _tag = "MarginTooSmall"
  override readonly name = "MarginTooSmall"
  readonly partition: Partition
  /** Voters that are up, caught up and believed, beyond those that a decision needs. */
  readonly margin: number
  /** Wanted voters that are not up, are behind, or are on probation. */
  readonly unfit: ReadonlyArray<UnfitReplica>

  constructor(found: {
    readonly partition: Partition
    readonly lastSeq: number
    readonly margin: number
    readonly unfit: ReadonlyArray<UnfitReplica>
  }) {
    const { partition, lastSeq, margin, unfit } = found
    const who = unfit.map(({ replica, applied, onProbation }) => {
      if (applied === undefined) return `${replica} is not heard of`
      if (!onProbation) return `${replica} has executed ${applied} of ${lastSeq}`
      return `${replica} was wrong, and its votes do not count until the others attest a checkpoint that it has, too`
    })
    const why =
      margin < 0
        ? `of the voters that were asked for, ${-margin} too few are fit to decide anything`
        : "a replica that gets a vote must be fit to use it"
    super(
      `the membership was left as it was, because in partition ${partition} ${why}: ${who.join(", ")}. Start what is missing, as a standby where it is new, let it catch up, and say it again`,
    )
    this.partition = partition
    this.margin = margin
    this.unfit = unfit
  }
}

/** Another operator was quicker, and wanted something else. What was asked for here was not done. */
export class MembershipConflict extends Error {
  readonly _tag = "MembershipConflict"
  override readonly name = "MembershipConflict"
  readonly partition: Partition
  /** What the other one made of it. */
  readonly roster: Roster

  constructor(partition: Partition, roster: Roster) {
    const { epoch, voters, standbys } = roster
    super(
      `another operator changed partition ${partition} at the same time: in epoch ${epoch} ${voters.join(", ")} vote, and ${standbys.join(", ") || "nobody"} stands by. Look at it, and say again what you want`,
    )
    this.partition = partition
    this.roster = roster
  }
}

/**
 * Says who votes in a group from now on, and who follows: the whole of it, whatever it was. A replica that is left out is fenced:
 * what it says counts no longer. Does nothing where all is so already, and completes what was begun and not finished.
 *
 * It listens for some seconds to what the replicas tell each other. A replica that is to vote and did not before must be up,
 * caught up and not on probation, and so must as many of all voters as a decision needs. Start a new replica with `standby: true` beforehand.
 *
 * An operator does this, with permissions that neither replicas nor callers have: to publish on `cmd.<group>.*.operator`,
 * `$JS.API.STREAM.NAMES`, and `$JS.API.STREAM.INFO.*`, `$JS.API.STREAM.MSG.GET.*` and `$JS.API.STREAM.UPDATE.*` of the group's
 * streams; to subscribe to `peer.<group>.>` and `_INBOX.>`.
 *
 * Rejects with MarginTooSmall (nothing was changed), MembershipConflict, LogUnavailable, ServerTooOld, UnknownGroup or
 * UnsafeSetting, and with TypeError for names that no group could have. After LogUnavailable some partitions may be changed and
 * others not: say it again.
 */
export async function changeMembership(options: ChangeMembershipOptions): Promise<GroupDescriptor> {
  const group = GroupName(options.group ?? "main")
  const wanted = wantedRoster(options)
  const { quorum } = options.mode
  const connection = await openConnection({ ...options, name: "lockstep-change-membership" })
  try {
    const { rosters } = await describeGroup(connection, group)
    const logs = rosters.map((_, index) => ({ group, partition: Partition(index) }))
    await Promise.all(
      logs.map(async (log, index) => {
        const copy = rosters[index] as Roster // one for each partition
        const { roster: current } = await statedRoster(connection, log, copy, quorum)
        if (!isSameMembership(wanted, current))
          await checkMargin(connection, log, { current, wanted, quorum })
      }),
    )
    for (const log of logs) await change(connection, log, wanted, quorum)
    return await describeGroup(connection, group)
  } finally {
    await connection.close()
  }
}

type Membership = Omit<Roster, "epoch">

const LOOK_AGAIN_MS = 20
/** How often an entry that the log did not confirm is stated again. */
const ATTEMPTS = 5

function wantedRoster(options: ChangeMembershipOptions): Membership {
  const { voters, standbys = [], mode } = options
  const names = replicaIds([...voters, ...standbys])
  if (voters.length < mode.quorum)
    throw new TypeError(
      `${voters.length} voters cannot decide anything where ${mode.quorum} equal votes are needed`,
    )
  return { voters: names.slice(0, voters.length), standbys: names.slice(voters.length) }
}

/** Rejects with MarginTooSmall. */
async function checkMargin(
  connection: Connection,
  log: Log,
  asked: { readonly current: Roster; readonly wanted: Membership; readonly quorum: number },
): Promise<void> {
  const { current, wanted, quorum } = asked
  const { heard, lastSeq } = await listen(connection, log, wanted.voters)
  const unfit = wanted.voters
    .filter((voter) => !isFit(heard.get(voter), lastSeq))
    .map((replica) => {
      const { seq, onProbation = false } = heard.get(replica) ?? {}
      return { replica, applied: seq, onProbation }
    })
  const margin = wanted.voters.length - unfit.length - quorum
  if (margin < 0 || unfit.some(({ replica }) => !current.voters.includes(replica)))
    throw new MarginTooSmall({ partition: log.partition, lastSeq, margin, unfit })
}

/** What these replicas say of themselves; until all have got to where the log is now and are believed, or for some seconds. */
async function listen(
  connection: Connection,
  log: Log,
  replicas: ReadonlyArray<ReplicaId>,
): Promise<{ readonly heard: ReadonlyMap<ReplicaId, PeerReport>; readonly lastSeq: number }> {
  const heard = new Map<ReplicaId, PeerReport>()
  const stop = onReports(connection, log, (report) => void heard.set(report.replica, report))
  try {
    const { lastSeq } = await streamState(connection, streamName(log.group, log.partition))
    const deadlineMs = performance.now() + REPORTS_MS
    const areFit = (): boolean => replicas.every((replica) => isFit(heard.get(replica), lastSeq))
    while (performance.now() < deadlineMs && !areFit()) await sleep(LOOK_AGAIN_MS)
    return { heard, lastSeq }
  } finally {
    stop()
  }
}

/** Whether its vote would be worth something now. */
function isFit(report: PeerReport | undefined, lastSeq: number): boolean {
  return report !== undefined && report.seq >= lastSeq && !report.onProbation
}

/** States the roster in the log, unless it is stated there, and then copies it beside the log. */
async function change(connection: Connection, log: Log, wanted: Membership, quorum: number): Promise<void> {
  let { roster: current } = await statedRoster(connection, log, await readRoster(connection, log), quorum)
  const before = current
  for (let left = ATTEMPTS; left > 0 && !isSameMembership(wanted, current); left--) {
    // an entry that comes twice takes effect once
    const result = await stateRoster(connection, log, nextRoster(before, wanted))
    if (result._tag === "Refused") throw new LogUnavailable(connection.nats.getServer(), result.detail)
    current = (await statedRoster(connection, log, current, quorum)).roster
    if (current.epoch > before.epoch) break
  }
  // also what another operator has stated: whoever finds it unfinished finishes it
  await copyUntilCurrent(connection, log, quorum)
  if (current.epoch === before.epoch && !isSameMembership(wanted, current))
    throw new LogUnavailable(connection.nats.getServer(), "the log did not confirm the entry")
  if (!isSameMembership(wanted, current)) throw new MembershipConflict(log.partition, current)
}

function nextRoster(current: Roster, wanted: Membership): Roster {
  return { epoch: Epoch(current.epoch + 1), ...wanted }
}

/** Two operators may copy at once, and the older copy come last: so each looks again after it has written. */
async function copyUntilCurrent(connection: Connection, log: Log, quorum: number): Promise<void> {
  for (;;) {
    const copy = await readRoster(connection, log)
    const stated = await statedRoster(connection, log, copy, quorum)
    if (stated.roster.epoch === copy.epoch) return
    await copyRoster(connection, log, stated)
  }
}
