import { ATTRIBUTES } from "./names.ts"

/** One metric. Units are UCUM, as OpenTelemetry wants them: what is in braces is counted, and is no part of a name in Prometheus. */
export interface Metric {
  readonly name: string
  /** All but histograms are observed when they are collected, and cost nothing before. */
  readonly kind: "histogram" | "counter" | "gauge"
  readonly unit: string
  readonly meaning: string
  /** Never the key of an actor, nor the id of a call: these have no end. */
  readonly attributes: ReadonlyArray<string>
}

const { rpcSystem, rpcMethod, errorType, group, partition, replica } = ATTRIBUTES
const LANE = [group, partition]
const SEAT = [group, partition, replica]

/** Every metric of the library. A test compares this table with the one in the docs, and with what dashboards and alerts ask for. */
export const METRICS = {
  callDuration: {
    name: "rpc.client.call.duration",
    kind: "histogram",
    unit: "s",
    meaning: "from a call to its answer, or its error",
    attributes: [rpcSystem, rpcMethod, group, errorType],
  },
  serverDuration: {
    name: "rpc.server.call.duration",
    kind: "histogram",
    unit: "s",
    meaning:
      "one replica's execution of a command: each replica that executes it says so. No more than the first 2,000 within a second: `lockstep.replica.commands` counts all",
    attributes: [rpcSystem, rpcMethod, ...SEAT, errorType],
  },
  voteDuration: {
    name: "lockstep.client.vote.duration",
    kind: "histogram",
    unit: "s",
    meaning: "from the first vote to the decision, where replicas vote; one value for all calls of a batch",
    attributes: LANE,
  },
  appendDuration: {
    name: "lockstep.client.append.duration",
    kind: "histogram",
    unit: "s",
    meaning: "from sending a batch to the log until the log says that it has it; one value for each batch",
    attributes: LANE,
  },
  waiting: {
    name: "lockstep.client.commands.waiting",
    kind: "gauge",
    unit: "{command}",
    meaning: "commands that wait for their answers, those included that are not sent yet",
    attributes: LANE,
  },
  unsent: {
    name: "lockstep.client.batches.unsent",
    kind: "gauge",
    unit: "{batch}",
    meaning: "batches that are gathered, and not sent yet",
    attributes: LANE,
  },
  margin: {
    name: "lockstep.client.margin",
    kind: "gauge",
    unit: "{replica}",
    meaning:
      "how many more voters may fail before decisions lack votes: those whose last vote was right, and who owe none for over a second, less those that decide",
    attributes: LANE,
  },
  batches: {
    name: "lockstep.client.batches",
    kind: "counter",
    unit: "{batch}",
    meaning: "batches that this process has sent",
    attributes: LANE,
  },
  commands: {
    name: "lockstep.client.commands",
    kind: "counter",
    unit: "{command}",
    meaning: "commands that this process has sent",
    attributes: LANE,
  },
  votesMatched: {
    name: "lockstep.client.votes.matched",
    kind: "counter",
    unit: "{vote}",
    meaning:
      "votes of this replica that were equal to what was decided; where there is a primary, its answers",
    attributes: SEAT,
  },
  votesDissented: {
    name: "lockstep.client.votes.dissented",
    kind: "counter",
    unit: "{vote}",
    meaning: "votes of this replica that differed from what was decided",
    attributes: SEAT,
  },
  votesStrange: {
    name: "lockstep.client.votes.strange",
    kind: "counter",
    unit: "{vote}",
    meaning: "votes of no voter, of another epoch, for another group, or that were not understood",
    attributes: LANE,
  },
  appendsRepeated: {
    name: "lockstep.client.appends.repeated",
    kind: "counter",
    unit: "{batch}",
    meaning: "batches that were sent again",
    attributes: LANE,
  },
  votesAsked: {
    name: "lockstep.client.votes.asked",
    kind: "counter",
    unit: "{request}",
    meaning: "times that votes, or an answer, had to be asked for",
    attributes: LANE,
  },
  state: {
    name: "lockstep.replica.state",
    kind: "gauge",
    unit: "{state}",
    meaning: "1 for the state that the replica is in, 0 for each other",
    attributes: [...SEAT, ATTRIBUTES.state],
  },
  role: {
    name: "lockstep.replica.role",
    kind: "gauge",
    unit: "{role}",
    meaning: "1 for the role that the group gives the replica, 0 for each other",
    attributes: [...SEAT, ATTRIBUTES.role],
  },
  applied: {
    name: "lockstep.replica.applied",
    kind: "gauge",
    unit: "{position}",
    meaning: "the last position that was executed",
    attributes: SEAT,
  },
  pending: {
    name: "lockstep.replica.pending",
    kind: "gauge",
    unit: "{entry}",
    meaning: "entries of the log that are still to come, as its server said with the last one that came",
    attributes: SEAT,
  },
  applyDuration: {
    name: "lockstep.replica.apply.duration",
    kind: "histogram",
    unit: "s",
    meaning:
      "what the replica does about entries of the log, until the answers are on their way; one value for all that came together, none before it has caught up",
    attributes: SEAT,
  },
  applyLag: {
    name: "lockstep.replica.apply.lag",
    kind: "histogram",
    unit: "s",
    meaning:
      "from the log's time of an entry until the replica is done with it, by two clocks; one value for all that came together, of the last, none before it has caught up",
    attributes: SEAT,
  },
  executed: {
    name: "lockstep.replica.commands",
    kind: "counter",
    unit: "{command}",
    meaning: "commands executed, since the replica began, or began anew",
    attributes: SEAT,
  },
  repeated: {
    name: "lockstep.replica.batches.repeated",
    kind: "counter",
    unit: "{batch}",
    meaning: "batches that came once more, and were answered from the session table",
    attributes: SEAT,
  },
  malformed: {
    name: "lockstep.replica.malformed",
    kind: "counter",
    unit: "{message}",
    meaning: "entries and messages that were not understood",
    attributes: SEAT,
  },
  actors: {
    name: "lockstep.replica.actors",
    kind: "gauge",
    unit: "{actor}",
    meaning: "actors that there are",
    attributes: SEAT,
  },
  resident: {
    name: "lockstep.replica.actors.resident",
    kind: "gauge",
    unit: "{actor}",
    meaning: "actors that are in memory",
    attributes: SEAT,
  },
  sessions: {
    name: "lockstep.replica.sessions",
    kind: "gauge",
    unit: "{session}",
    meaning: "clients whose last answers are remembered",
    attributes: SEAT,
  },
  checkpointStable: {
    name: "lockstep.replica.checkpoint.stable",
    kind: "gauge",
    unit: "{position}",
    meaning: "the last checkpoint that f+1 replicas agree on",
    attributes: SEAT,
  },
  checkpointDurable: {
    name: "lockstep.replica.checkpoint.durable",
    kind: "gauge",
    unit: "{position}",
    meaning: "the last checkpoint that f+1 replicas hold on their disks",
    attributes: SEAT,
  },
  checkpointDuration: {
    name: "lockstep.replica.checkpoint.duration",
    kind: "histogram",
    unit: "s",
    meaning:
      "from when what a checkpoint changes begins to be written until it is on the disk; half of that time at most is the writing",
    attributes: SEAT,
  },
  checkpointWritten: {
    name: "lockstep.replica.checkpoint.written",
    kind: "counter",
    unit: "By",
    meaning: "what checkpoints have changed: bytes of their headers and rows that were written to the disk",
    attributes: SEAT,
  },
  checkpointSize: {
    name: "lockstep.replica.checkpoint.size",
    kind: "gauge",
    unit: "By",
    meaning: "the files that hold the checkpoints",
    attributes: SEAT,
  },
  checkpointAge: {
    name: "lockstep.replica.checkpoint.age",
    kind: "gauge",
    unit: "s",
    meaning: "since a checkpoint was put on the disk; before the first, since the replica began",
    attributes: SEAT,
  },
  events: {
    name: "lockstep.replica.events",
    kind: "counter",
    unit: "{event}",
    meaning: "what the host's operator was told, by the name of the event",
    attributes: [...SEAT, ATTRIBUTES.event],
  },
  rejoins: {
    name: "lockstep.replica.rejoins",
    kind: "counter",
    unit: "{rejoin}",
    meaning: "times that the replica was wrong, or read a log that was, and began anew",
    attributes: [...SEAT, ATTRIBUTES.reason],
  },
  reignEpoch: {
    name: "lockstep.reign.epoch",
    kind: "gauge",
    unit: "{reign}",
    meaning: "masters so far: each failover and hand-over adds one",
    attributes: SEAT,
  },
  reignFailovers: {
    name: "lockstep.reign.failovers",
    kind: "counter",
    unit: "{failover}",
    meaning:
      "masters that were elected because the one before was silent, since the replica began: every replica counts them",
    attributes: SEAT,
  },
  reignMaster: {
    name: "lockstep.reign.master",
    kind: "gauge",
    unit: "{master}",
    meaning: "1 where the replica is the master, otherwise 0",
    attributes: SEAT,
  },
  reignInSync: {
    name: "lockstep.reign.in_sync",
    kind: "gauge",
    unit: "{replica}",
    meaning: "replicas that surely hold all that was acknowledged, the master included",
    attributes: SEAT,
  },
  reignAcknowledgements: {
    name: "lockstep.reign.acknowledgements",
    kind: "gauge",
    unit: "{replica}",
    meaning: "how many backups must hold a write before it is acknowledged",
    attributes: SEAT,
  },
  reignCommitted: {
    name: "lockstep.reign.committed",
    kind: "gauge",
    unit: "{position}",
    meaning: "the last position that is acknowledged, as far as the replica knows",
    attributes: SEAT,
  },
  reignMargin: {
    name: "lockstep.reign.margin",
    kind: "gauge",
    unit: "{replica}",
    meaning:
      "how many more replicas may fail before writes are refused, or nobody is left, by whom the master has heard of lately; the master alone says so",
    attributes: SEAT,
  },
  reignLag: {
    name: "lockstep.reign.lag",
    kind: "gauge",
    unit: "{position}",
    meaning: "how far an in-sync backup is behind; the master alone says so",
    attributes: [...SEAT, ATTRIBUTES.backup],
  },
  reignTruncated: {
    name: "lockstep.reign.truncated",
    kind: "counter",
    unit: "{position}",
    meaning: "positions that a later master did not have, and that the replica let go of",
    attributes: SEAT,
  },
  reignDegraded: {
    name: "lockstep.reign.degraded",
    kind: "gauge",
    unit: "{state}",
    meaning: "1 while fewer acknowledge than the class asks for, otherwise 0",
    attributes: SEAT,
  },
  reignDegradedCommands: {
    name: "lockstep.reign.commands.degraded",
    kind: "counter",
    unit: "{command}",
    meaning: "commands that were acknowledged while degraded",
    attributes: SEAT,
  },
  reignLossWindow: {
    name: "lockstep.reign.loss_window",
    kind: "gauge",
    unit: "{position}",
    meaning: "acknowledged positions that may have been lost with the master before, at most",
    attributes: SEAT,
  },
} as const satisfies Readonly<Record<string, Metric>>

/** What a replica can be doing. */
export const REPLICA_STATES = [
  /** A broken invariant has stopped it. */
  "failed",
  "halted",
  /** Another build executes what follows. */
  "waiting",
  /** It executes, and does not vote. */
  "probation",
  "catching-up",
  "following",
] as const
