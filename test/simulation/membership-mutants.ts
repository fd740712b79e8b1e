import type { Mutant } from "./mutant-list.ts"

const ROSTER = "core/src/roster.ts"
const INBOX = "replication/src/state-machine/inbox.ts"
const PENDING = "replication/src/state-machine/pending.ts"
const REPLICA = "replication/src/state-machine/replica.ts"
const RUMOUR = "replication/src/rumour.ts"
const STABILITY = "replication/src/state-machine/stability.ts"
const CERTIFICATES = "replication/src/state-machine/certificates.ts"

/** Deliberate bugs of membership: who votes, and whose votes count. */
export const MEMBERSHIP_MUTANTS: ReadonlyArray<Mutant> = [
  {
    name: "epoch-not-bound",
    bug: "a client counts votes of whatever epoch",
    file: INBOX,
    find: 'if (statement.epoch > this.#roster.epoch) return "later"\n      const counts = statement.epoch === this.#roster.epoch && ',
    replace: "const counts = ",
    seedsMax: 500,
  },
  {
    name: "fenced-attestation-counts",
    bug: "what a replica attests counts, although it has no vote",
    file: STABILITY,
    find: "!this.#voters.includes(replica) || ",
    replace: "",
    seedsMax: 1500,
  },
  {
    name: "roster-left-out",
    bug: "a replica that begins at a checkpoint begins with the first roster",
    file: REPLICA,
    find: "this.#mandate.restore(header.roster)",
    replace: "",
    seedsMax: 500,
  },
  {
    name: "compare-and-set-ignored",
    bug: "of two operators who change the same roster, both succeed",
    file: ROSTER,
    find: "if (next.epoch !== current.epoch + 1)",
    replace: "if (next.epoch < current.epoch)",
    seedsMax: 500,
  },
  {
    name: "anybody-is-an-operator",
    bug: "a roster takes effect whoever wrote it",
    file: ROSTER,
    find: "if (source !== OPERATOR) return",
    replace: "if (source.length === 0) return",
    seedsMax: 500,
  },
  {
    name: "roster-never-read-again",
    bug: "a client does not look whether others vote by now",
    file: RUMOUR,
    find: "return true",
    replace: "return false",
    seedsMax: 100,
  },
  {
    name: "tally-kept-over-epochs",
    bug: "a client goes on with the votes of the old epoch when it learns of a new one",
    file: PENDING,
    find: "this.ballot = new Ballot({ ...quorum, count: this.count })\n    this.asks",
    replace: "this.asks",
    seedsMax: 500,
  },
  {
    name: "transfer-with-the-first-roster",
    bug: "a replica that fetches a checkpoint knows only the roster that it began with",
    file: CERTIFICATES,
    find: "if (roster.epoch <= this.#roster.epoch) return",
    replace: "return",
    seedsMax: 1500,
  },
]
