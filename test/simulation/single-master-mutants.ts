import type { Mutant } from "./mutant-list.ts"

const FOLDER = "replication/src/primary-backup"
const BACKUP = `${FOLDER}/backup.ts`
const IN_SYNC = `${FOLDER}/in-sync.ts`
const LEDGER = `${FOLDER}/ledger.ts`
const PRIMARY = `${FOLDER}/primary.ts`
const REIGNS = `${FOLDER}/reigns.ts`
const REPLICA = `${FOLDER}/replica.ts`
const TENURE = `${FOLDER}/tenure.ts`

/** Deliberate bugs of the primary-backup mode. */
const BUGS: ReadonlyArray<Omit<Mutant, "mode">> = [
  {
    name: "acknowledged-before-persisted",
    bug: "a primary counts what is not on its own disk yet",
    file: TENURE,
    find: "here: ledger.durable,",
    replace: "here: ledger.history.last,",
    seedsMax: 1000,
  },
  {
    name: "backup-before-persisting",
    bug: "a backup acknowledges what is not on its disk yet",
    file: BACKUP,
    find: "position: ledger.durable,",
    replace: "position: ledger.history.last,",
    seedsMax: 1000,
  },
  {
    name: "master-epoch-not-checked",
    bug: "a backup takes what an earlier primary ships",
    file: BACKUP,
    find: "if (ship.epoch !== epoch || !isPrimary) return undefined",
    replace: "if (ship.epoch > epoch) return undefined",
    seedsMax: 1000,
  },
  {
    name: "batch-of-another-epoch",
    bug: "a primary executes what was meant for an earlier one",
    file: REPLICA,
    find: "if (role instanceof Primary && question.epoch === epoch) return",
    replace: "if (role instanceof Primary) return",
    seedsMax: 1000,
  },
  {
    name: "shrunk-after-acknowledging",
    bug: "a primary acknowledges without a backup before the log shows that it is out",
    file: TENURE,
    find: "[reign, ...this.#proposals].map(",
    replace: "[this.#proposals.at(-1) ?? reign].map(",
    seedsMax: 1000,
  },
  {
    name: "joins-too-late",
    bug: "a backup that is let in need not acknowledge before the primary has read that",
    file: TENURE,
    find: "[reign, ...this.#proposals].map(",
    replace: "[reign].map(",
    seedsMax: 2000,
  },
  {
    name: "joins-unprepared",
    bug: "a backup is let in that does not hold what is acknowledged",
    file: IN_SYNC,
    find: "follower.acknowledged >= ledger.committed &&",
    replace: "",
    seedsMax: 1000,
  },
  {
    name: "position-without-epoch",
    bug: "the longest journal wins an election, whoever made its records",
    file: REIGNS,
    find: "a.lastEpoch > b.lastEpoch || (a.lastEpoch === b.lastEpoch && a.position > b.position)",
    replace: "a.position > b.position",
    seedsMax: 3000,
  },
  {
    name: "too-few-bids",
    bug: "one bid elects, whatever k is",
    file: REIGNS,
    find: "isLossy ? 1 : Math.max(1, inSync.length - acknowledgements)",
    replace: "1",
    seedsMax: 2000,
  },
  {
    name: "earlier-life-believed",
    bug: "the bid of a replica that was restarted counts like that of the one that was in sync",
    file: REIGNS,
    find: "isWhole ? bids : bids.filter(({ bidder }) => this.isInSync(bidder))",
    replace: "bids",
    seedsMax: 2000,
  },
  {
    name: "bid-within-lease",
    bug: "a bid counts before the lease is over",
    file: REIGNS,
    find: "|| timeNs < leaseEndNs ||",
    replace: "||",
    seedsMax: 2000,
  },
  {
    name: "promise-broken",
    bug: "a backup that has bid still takes what the old primary ships",
    file: BACKUP,
    find: "    if (this.#hasPromised) return undefined\n",
    replace: "",
    seedsMax: 1000,
  },
  {
    name: "suffix-not-truncated",
    bug: "a backup keeps records that the new primary does not have",
    file: BACKUP,
    find: "if (agreed < ledger.history.last) this.#ground.say(ledger.truncate(agreed))",
    replace: "",
    seedsMax: 500,
  },
  {
    name: "silent-degradation",
    bug: "a semi-synchronous primary acknowledges with fewer backups than its class asks for",
    file: REIGNS,
    find: 'below === "refuse" ? k : Math.min(',
    replace: "Math.min(",
    seedsMax: 1000,
  },
  {
    name: "lease-outlived",
    bug: "a primary answers reads although its lease is over",
    file: TENURE,
    find: "return this.#ground.nowMs < this.#leaseEndMs && !this.#mayHaveEnded",
    replace: "return !this.#mayHaveEnded",
    seedsMax: 1000,
  },
  {
    name: "read-before-acknowledged",
    bug: "a query is answered with what may still be lost",
    file: PRIMARY,
    find: "this.#reads.filter((read) => read.position <= ledger.committed)",
    replace: "[...this.#reads]",
    seedsMax: 1000,
  },
  {
    name: "horizon-ignored",
    bug: "an asynchronous primary acknowledges beyond what it said in the log",
    file: TENURE,
    find: 'rules.replication === "asynchronous" ? reign.horizon : Number.POSITIVE_INFINITY',
    replace: "Number.POSITIVE_INFINITY",
    seedsMax: 3000,
  },
  {
    name: "handed-over-too-early",
    bug: "a primary steps down although its successor lacks records",
    file: TENURE,
    find: "|| heldBy(this.#followers.get(life)) < last || ledger.committed < last",
    replace: "",
    seedsMax: 1000,
  },
  {
    name: "executed-while-executing",
    bug: "a batch that comes again while it is executed is executed again",
    file: PRIMARY,
    find: "if (this.#underway.has(key)) return // its answer comes",
    replace: "",
    seedsMax: 500,
  },
  {
    name: "answers-not-kept",
    bug: "a batch that comes again after it was acknowledged is executed again",
    file: LEDGER,
    find: 'if (admission._tag === "Fresh") this.#sessions.record(answer)',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "stale-without-bound",
    bug: "a backup answers a query however old it is",
    file: BACKUP,
    find: "nowMs - this.#fresh.atMs <= (maxStalenessMs ?? -1) &&",
    replace: "",
    seedsMax: 2000,
  },
  {
    name: "own-writes-not-read",
    bug: "a backup answers a query that has not what its client was told",
    file: BACKUP,
    find: " && ledger.committed >= atLeast",
    replace: "",
    seedsMax: 2000,
  },
]

export const SINGLE_MASTER_MUTANTS: ReadonlyArray<Mutant> = BUGS.map((bug) => ({
  ...bug,
  mode: "primary-backup",
}))
