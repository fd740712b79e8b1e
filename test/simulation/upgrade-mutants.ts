import type { Mutant } from "./mutant-list.ts"

const BUILD = "replication/src/state-machine/build.ts"
const CHECKPOINTS = "replication/src/state-machine/checkpoints.ts"
const REPLICA = "replication/src/state-machine/replica.ts"
const SCHEMA = "core/src/schema.ts"

/** Deliberate bugs of upgrades: which build executes what. */
export const UPGRADE_MUTANTS: ReadonlyArray<Mutant> = [
  {
    name: "old-build-goes-on",
    bug: "a replica executes what the log says that another build executes",
    file: REPLICA,
    find: 'if (effect === "stops") this.#stoppedAt = { seq, chain }',
    replace: "",
    seedsMax: 500,
  },
  {
    name: "schema-left-out",
    bug: "a replica that begins at a checkpoint does not know which upgrades came before it",
    file: BUILD,
    find: 'this.#adopt(header)\n      return "goes-on"',
    replace: 'return "goes-on"',
    seedsMax: 1500,
  },
  {
    name: "new-build-executes-the-old",
    bug: "a replica begins with a checkpoint of another build, and executes what that one should",
    file: BUILD,
    find: "if (this.fits(header)) {",
    replace: 'if (kept === "whole") {',
    seedsMax: 1500,
  },
  {
    name: "past-of-another-build-kept",
    bug: "a replica keeps what it has executed, although the log says that another build should have",
    file: BUILD,
    find: 'return current.number === 0 ? "wrong-past" : "stops"',
    replace: 'return "stops"',
    seedsMax: 1500,
  },
  {
    name: "no-checkpoint-at-the-upgrade",
    bug: "the old build stops without a checkpoint that the new one could begin with",
    file: CHECKPOINTS,
    find: "= this.#mark(position, isReplayed, Number.POSITIVE_INFINITY)",
    replace: ": ReadonlyArray<CheckpointChanges> = NONE",
    seedsMax: 500,
  },
  {
    name: "upgrade-kept-once",
    bug: "the checkpoint at an upgrade is lost where the disk was full just then",
    file: CHECKPOINTS,
    find: "=== ATTEST_AGAIN_TICKS - 1\n",
    replace: "=== ATTEST_AGAIN_TICKS\n",
    seedsMax: 5000,
  },
  {
    name: "upgraded-by-anybody",
    bug: "a schema takes effect whoever wrote it",
    file: SCHEMA,
    find: "if (source !== OPERATOR) return",
    replace: "if (source.length === 0) return",
    seedsMax: 1500,
  },
]
