import type { Mutant } from "./mutant-list.ts"

const ACTORS = "actor/src/actors.ts"
const CHANGES = "actor/src/changes.ts"
const SHARDS = "replication/src/state-machine/shards.ts"
const MANDATE = "replication/src/state-machine/mandate.ts"
const RESIDENTS = "actor/src/residents.ts"
const CHECKPOINT = "replication/src/state-machine/checkpoint.ts"
const CHECKPOINTS = "replication/src/state-machine/checkpoints.ts"
const PAST = "replication/src/past.ts"
const REPLICA = "replication/src/state-machine/replica.ts"
const TRANSFER = "replication/src/state-machine/transfer.ts"
const STABILITY = "replication/src/state-machine/stability.ts"

/** Deliberate bugs of checkpoints, and of what replicas say of them. */
export const CHECKPOINT_MUTANTS: ReadonlyArray<Mutant> = [
  {
    name: "sessions-left-out",
    bug: "a checkpoint does not hold the sessions",
    file: CHECKPOINTS,
    find: "gather({ sessions: this.#sessions.takeChanges() })",
    replace: "gather({ sessions: new Map() })",
    seedsMax: 500,
  },
  {
    name: "checkpoint-off-by-one",
    bug: "a checkpoint says that it was taken one entry earlier",
    file: CHECKPOINT,
    find: "encodeHeader({ ...position, root",
    replace: "encodeHeader({ ...position, seq: position.seq - 1, root",
    seedsMax: 500,
  },
  {
    name: "restored-before-its-entry",
    bug: "a replica that begins at a checkpoint executes its last entry again",
    file: PAST,
    find: "this.#seq = seq\n    this.#chain = chain\n",
    replace: "this.#seq = seq - 1\n    this.#chain = chainBefore\n",
    seedsMax: 500,
  },
  {
    name: "changes-forgotten",
    bug: "a checkpoint does not hold what the commands since the last one changed",
    file: ACTORS,
    find: 'if (resident.change !== "touched" && target.touched',
    replace: 'if (position.index > 0 && resident.change !== "touched" && target.touched',
    seedsMax: 500,
  },
  {
    name: "checkpoint-runs-late",
    bug: "an actor is taken into a checkpoint as it is when its turn comes, and not as it was at the checkpoint's position",
    file: CHANGES,
    find: 'if (resident.change === "owed") this.#saved.push(this.#rowOf(touched.definition, resident))',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "checkpoint-cut-short",
    bug: "a checkpoint is complete although some of its actors are still to be taken",
    file: CHECKPOINTS,
    find: "if (this.#changes.owed > 0 || ",
    replace: "if (",
    seedsMax: 500,
  },
  {
    name: "leaves-while-it-is-owed",
    bug: "an actor leaves memory although the checkpoint that is under way has not taken it yet",
    file: ACTORS,
    find: 'resident.change !== "none"',
    replace: 'resident.change === "touched"',
    seedsMax: 500,
  },
  {
    name: "damaged-checkpoint-taken",
    bug: "a replica begins at a checkpoint whose rows are not those of its header",
    file: CHECKPOINT,
    find: "if (this.#tree.root() !== header.root)",
    replace: "if (header.seq < 0)",
    seedsMax: 500,
  },
  {
    name: "one-attestation-suffices",
    bug: "a checkpoint is stable when one replica attests it",
    file: STABILITY,
    find: "if (alike.length >= this.#quorum.votes && seq",
    replace: "if (alike.length >= 1 && seq",
    seedsMax: 500,
  },
  {
    name: "chunk-not-verified",
    bug: "rows that a peer sends are taken without comparing them with the digest of their bucket",
    file: TRANSFER,
    find: "return bucketDigest(rows) === wanted ? rows : undefined",
    replace: "return rows",
    seedsMax: 1500,
  },
  {
    name: "one-peer-trusted",
    bug: "what one peer says a checkpoint is, is taken without comparing it with what f+1 replicas attest",
    file: TRANSFER,
    find: "find((known) => known.state === state)",
    replace: "find((known) => known.state !== undefined)",
    seedsMax: 4000,
  },
  {
    name: "shards-not-verified",
    bug: "what shards come to is taken without comparing it with the digest of its bucket",
    file: SHARDS,
    find: "if (rows !== undefined && bucketDigest(rows) === wanted) return rows",
    replace: "if (rows !== undefined) return rows",
    seedsMax: 2000,
  },
  {
    name: "leaves-with-changes",
    bug: "an actor leaves memory although it has changed since its checkpoint",
    file: ACTORS,
    find: 'if (resident.change !== "none") return false',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "leaves-before-it-is-kept",
    bug: "an actor leaves memory before its checkpoint is on the disk",
    file: RESIDENTS,
    find: " || resident.keptSeq > seq) return",
    replace: ") return",
    seedsMax: 500,
  },
  {
    name: "truncated-too-early",
    bug: "the log is truncated behind a checkpoint that replicas agree on, and do not hold yet",
    file: CHECKPOINTS,
    find: "return { ...compared, truncatable: durable.seq }",
    replace: "return { ...compared, truncatable: this.stable + 400 }",
    seedsMax: 1500,
  },
  {
    name: "log-not-followed-after-transfer",
    bug: "a replica that installed a checkpoint does not read on from there",
    file: REPLICA,
    find: 'outputs.push({ _tag: "Install", checkpoint })',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "probation-skipped",
    bug: "a replica that was wrong votes at once",
    file: MANDATE,
    find: 'return this.isVoter && this.#probation !== "open"',
    replace: "return this.isVoter",
    seedsMax: 500,
  },
  {
    name: "no-other-server",
    bug: "a replica that halted at a broken log stays halted although the others go on",
    file: REPLICA,
    find: "if (this.#peers.goOn(from, bytes, this.#past.seq)) this.#rejoin",
    replace: "if (this.#peers.goOn(from, bytes, 1e9)) this.#rejoin",
    seedsMax: 1500,
  },
  {
    name: "probation-for-life",
    bug: "a replica that was wrong never votes again",
    file: CHECKPOINTS,
    find: "const confirmed = own !== undefined && !own.isReplayed",
    replace: "const confirmed = false",
    seedsMax: 500,
  },
  {
    name: "reads-on-after-a-halt",
    bug: "a replica that halted at an entry goes on to the next one",
    file: REPLICA,
    find: "return this.#halted === undefined && !this.#isDone",
    replace: "return true",
    seedsMax: 1500,
  },
  {
    name: "divergence-ignored",
    bug: "a replica goes on although f+1 replicas attest another state",
    file: CHECKPOINTS,
    find: "own.state !== stable.state",
    replace: "own.state.length !== stable.state.length",
    seedsMax: 500,
  },
]
