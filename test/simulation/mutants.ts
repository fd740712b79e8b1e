import { CHECKPOINT_MUTANTS } from "./checkpoint-mutants.ts"
import { MEMBERSHIP_MUTANTS } from "./membership-mutants.ts"
import type { Mutant } from "./mutant-list.ts"
import { SINGLE_MASTER_MUTANTS } from "./single-master-mutants.ts"
import { UPGRADE_MUTANTS } from "./upgrade-mutants.ts"

const CLIENT = "replication/src/state-machine/client.ts"
const PENDING = "replication/src/state-machine/pending.ts"
const INBOX = "replication/src/state-machine/inbox.ts"
const OVERLAP = "replication/src/overlap.ts"
const REPLICA = "replication/src/state-machine/replica.ts"
const PAST = "replication/src/past.ts"
const MANDATE = "replication/src/state-machine/mandate.ts"
const EXECUTION = "replication/src/state-machine/execution.ts"
const MODE = "replication/src/state-machine/mode.ts"
const BALLOT = "replication/src/state-machine/ballot.ts"
const FORK = "replication/src/state-machine/fork.ts"
const SESSION = "core/src/session.ts"
const TALLY = "core/src/tally.ts"
const ACTORS = "actor/src/actors.ts"
const CONTEXT = "actor/src/context.ts"

/** The mutation gate of the state machine mode: the simulator is worth what it finds. */
export const MUTANTS: ReadonlyArray<Mutant> = [
  ...CHECKPOINT_MUTANTS,
  ...MEMBERSHIP_MUTANTS,
  ...UPGRADE_MUTANTS,
  ...SINGLE_MASTER_MUTANTS,
  {
    name: "first-vote-decides",
    bug: "a client believes the first answer",
    file: MODE,
    find: "new StateMachineClient<Call>(init, votes)",
    replace: "new StateMachineClient<Call>(init, 1)",
    seedsMax: 50,
  },
  {
    name: "false-names-count",
    bug: "a replica may vote under another's name",
    file: INBOX,
    find: "if (vote.replica !== from) return undefined",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "repeated-votes-count",
    bug: "one replica's vote counts each time that it arrives",
    file: TALLY,
    find: 'if (earlier === statement) return "repeated"',
    replace:
      'if (earlier === statement) { this.#votes.set(`${replica}/${this.#votes.size}` as ReplicaId, statement); this.#standing = this.#judge(statement); return "counted" }',
    seedsMax: 300,
  },
  {
    name: "bytes-unchecked",
    bug: "outcomes are believed although they do not have the digest that was voted on",
    file: BALLOT,
    find: "if (digest(bytes) === wanted) return",
    replace: "if (digest(bytes).length > wanted.length - 1) return",
    seedsMax: 100,
  },
  {
    name: "session-table-forgotten",
    bug: "a batch that comes twice is executed twice",
    file: EXECUTION,
    find: "const admission = this.#sessions.admit(batch, this.#past.seq)",
    replace:
      'const admission = this.#sessions.admit(batch, this.#past.seq)._tag === "Expired" ? this.#sessions.admit(batch, this.#past.seq) : ({ _tag: "Fresh" } as ReturnType<SessionTable["admit"]>)',
    seedsMax: 50,
  },
  {
    name: "settled-forgotten",
    bug: "a batch whose answer was let go is executed when it comes again",
    file: SESSION,
    find: "if (number < this.#floor) return SETTLED",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "settles-what-is-open",
    bug: "a client says that it knows answers which it still waits for",
    file: PENDING,
    find: "for (const number of inFlight.keys()) floor = Math.min(floor, number)",
    replace: "",
    seedsMax: 300,
  },
  {
    name: "answers-not-kept",
    bug: "a batch that is repeated finds no answer, and is executed again",
    file: SESSION,
    find: "this.answers.set(answer.number, answer)\n    this.answerBytes",
    replace: "this.answerBytes",
    seedsMax: 50,
  },
  {
    name: "answers-anew",
    bug: "a repeated batch is answered with the position of its repetition",
    file: EXECUTION,
    find: "return admission.answer",
    replace: "return { ...admission.answer, seq: this.#past.seq, chain: this.#past.chain }",
    seedsMax: 100,
  },
  {
    name: "numbers-overlap",
    bug: "a client gives the same number to two commands",
    file: CLIENT,
    find: "this.#number += draft.calls.length",
    replace: "this.#number += 1",
    seedsMax: 50,
  },
  {
    name: "gaps-skipped",
    bug: "a replica goes on after a position that is missing",
    file: PAST,
    find: "if (entry.seq !== this.#seq + 1 || this.#overlap.isAwaited) {",
    replace: "if (entry.seq <= this.#seq || this.#overlap.isAwaited) {",
    seedsMax: 300,
  },
  {
    name: "overlap-unchecked",
    bug: "a replica does not compare its last entry with the log after it attached again",
    file: PAST,
    find: "if (extend(this.#chainBefore, entry) !== this.#chain)",
    replace: "if (entry.seq < 0)",
    seedsMax: 500,
  },
  {
    name: "log-id-unchecked",
    bug: "a log that was deleted and made again is taken for the old one",
    file: REPLICA,
    find: "if (log.logId !== this.#options.logId)",
    replace: "if (log.logId === undefined)",
    seedsMax: 300,
  },
  {
    name: "lost-tail-ignored",
    bug: "a replica waits for ever for an entry that the log has lost",
    file: OVERLAP,
    find: 'if (this.#missed >= LOST_TAIL_ATTACHMENTS) return "lost"',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "outage-judged",
    bug: "a log that is away for some time is taken for one that lost its tail",
    file: OVERLAP,
    find: "this.#missed = this.#endsTooEarly ? this.#missed + 1 : 0",
    replace: "this.#missed++",
    seedsMax: 1500,
  },
  {
    name: "forks-ignored",
    bug: "replicas do not compare what their peers read",
    file: FORK,
    find: "if (this.#differing.size < this.#needed) return undefined",
    replace: "if (this.#differing.size < 99) return undefined",
    seedsMax: 300,
  },
  {
    name: "one-peer-believed",
    bug: "one lying peer can halt a correct replica",
    file: FORK,
    find: "if (this.#differing.size < this.#needed) return undefined",
    replace: "if (this.#differing.size < 1) return undefined",
    seedsMax: 100,
  },
  {
    name: "time-goes-back",
    bug: "a command may see an earlier time than the one before it",
    file: PAST,
    find: "this.#timeNs = entry.timeNs > this.#timeNs ? entry.timeNs : this.#timeNs + 1n",
    replace: "this.#timeNs = entry.timeNs",
    seedsMax: 300,
  },
  {
    name: "chance-differs",
    bug: "replicas draw different random numbers",
    file: CONTEXT,
    find: "new RandomStream(`${log}/${seq}/${index}`)",
    replace:
      "new RandomStream(`${log}/${seq}/${index}/${(globalThis.chance = (globalThis.chance ?? 0) + 1)}`)",
    seedsMax: 50,
  },
  {
    name: "batch-reversed",
    bug: "the commands of a batch are executed from the last to the first",
    file: EXECUTION,
    find: "for (let index = 0; index < batch.commands.length; index++) {",
    replace: "for (let index = batch.commands.length - 1; index >= 0; index--) {",
    seedsMax: 50,
  },
  {
    name: "answers-crossed",
    bug: "callers of one batch get each other's answers",
    file: CLIENT,
    find: "outcomes: decodeOutcomes(bytes, pending.count), seq",
    replace: "outcomes: decodeOutcomes(bytes, pending.count).toReversed(), seq",
    seedsMax: 50,
  },
  {
    name: "spans-voted-on",
    bug: "where a replica tells of commands is a part of what it votes for",
    file: MANDATE,
    find: "outcomes: digest(outcomes),",
    replace: "outcomes: digest(spans === undefined ? outcomes : [...spans].join()),",
    seedsMax: 50,
  },
  {
    name: "actors-forgotten",
    bug: "an actor begins anew with every command",
    file: ACTORS,
    find: "  residents.set(resident.key, resident)\n",
    replace: "",
    seedsMax: 20,
  },
  {
    name: "expired-sent-again",
    bug: "a command of a forgotten session goes out again although it may have been executed",
    file: CLIENT,
    find: "if (pending.appends > 1 || pending.calls.includes(undefined)) {",
    replace: "if (pending.appends > 1e9) {",
    seedsMax: 1500,
  },
  {
    name: "refusal-always-final",
    bug: "a client says 'not executed' when only the second copy of its batch was refused",
    file: CLIENT,
    find: "if (pending.appends > 1) return this.#appendUnknown(token, nowMs)",
    replace: "",
    seedsMax: 5000,
  },
  {
    name: "session-kept-after-expiry",
    bug: "a client goes on in a session that the replicas have forgotten",
    file: CLIENT,
    find: "if (this.#session === pending.session) this.#session = undefined",
    replace: "",
    seedsMax: 500,
  },
  {
    name: "bytes-never-sent-again",
    bug: "a replica that is asked for a large result repeats its digest only",
    file: MANDATE,
    find: 'send === "bytes" ||\n',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "sends-once",
    bug: "a client does not send an unconfirmed batch again",
    file: CLIENT,
    find: "if (pending.unconfirmed && !ballot.ordered && nowMs >= pending.appendAtMs)",
    replace: "if (nowMs < 0)",
    seedsMax: 1500,
  },
]
