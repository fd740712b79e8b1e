import type { Host } from "lockstep"
import { expect, vi } from "vitest"

/** Waits until every replica follows the log: what is called from now on, all of them vote on. */
export function caughtUp(hosts: ReadonlyArray<Host>): Promise<void> {
  const pending = () => hosts.filter((host) => !host.caughtUp).map(({ replica }) => replica)
  return vi.waitFor(() => expect(pending()).toEqual([]), { timeout: 10_000 })
}

/** Waits until every replica has executed the same log, and has the same state. */
export function equal(hosts: ReadonlyArray<Host>): Promise<void> {
  const views = () =>
    hosts.map(({ status }) =>
      JSON.stringify(
        status.map((partition) => [partition.applied, partition.chain, partition.stateDigest()]),
      ),
    )
  return vi.waitFor(() => expect(new Set(views()).size).toBe(1), { timeout: 20_000 })
}
