import { decodePeerReport, Malformed, type PeerReport } from "@lockstep/core"
import type { Connection, Log } from "@lockstep/nats"
import { peer, peersSubject } from "./subjects.ts"

/** How long replicas may be silent about themselves: they report every five seconds at least. */
export const REPORTS_MS = 7000

/** Tells what replicas of a partition report of themselves, each under its own name. Yields how to stop. */
export function onReports(connection: Connection, log: Log, tell: (report: PeerReport) => void): () => void {
  return connection.subscribe(peersSubject(log.group, log.partition), (subject, bytes) => {
    const report = reportOf(log, subject, bytes)
    if (report !== undefined) tell(report)
  })
}

function reportOf(log: Log, subject: string, bytes: Uint8Array): PeerReport | undefined {
  try {
    const report = decodePeerReport(bytes)
    const isOurs = report.group === log.group && report.partition === log.partition
    return isOurs && report.replica === peer(subject) ? report : undefined
  } catch (cause) {
    if (cause instanceof Malformed) return undefined
    throw cause
  }
}
