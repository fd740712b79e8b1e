import { mkdtemp, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { ReplicaProcess } from "@lockstep/replica-service/process"
import { writeHistory } from "@lockstep/testing"
import type { History } from "./verdict.ts"

/** Keeps what is needed to find out why: the history, and what each replica logged. Yields the folder. */
export async function keepEvidence(
  operations: History,
  replicas: ReadonlyArray<ReplicaProcess>,
): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "lockstep-chaos-failed-"))
  await writeFile(join(directory, "history.jsonl"), writeHistory(operations))
  for (const { replica, log } of replicas) {
    const text = log.map((line) => `${JSON.stringify(line)}\n`).join("")
    await writeFile(join(directory, `${replica}.jsonl`), text)
  }
  return directory
}
