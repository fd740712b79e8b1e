import type { ChildProcess } from "node:child_process"

/** Processes that must not outlive this one. */
const children = new Set<ChildProcess>()
const SIGNALS = ["SIGHUP", "SIGINT", "SIGTERM"] as const

/** Kills the child when this process exits, or is ended by a signal that it does not handle. Nothing can be done about SIGKILL. */
export function endWithUs(child: ChildProcess): void {
  if (children.size === 0) listen()
  children.add(child)
  child.once("exit", () => {
    if (children.delete(child) && children.size === 0) unlisten()
  })
}

function listen(): void {
  process.on("exit", endAll)
  // first, so that what the program itself handles once is still counted
  for (const signal of SIGNALS) process.prependListener(signal, onSignal)
}

function unlisten(): void {
  process.off("exit", endAll)
  for (const signal of SIGNALS) process.off(signal, onSignal)
}

/** A listener keeps a signal from ending the process. Where there is no other, it ends as if there were none at all. */
function onSignal(signal: NodeJS.Signals): void {
  if (process.listenerCount(signal) > 1) return
  endAll()
  unlisten()
  process.kill(process.pid, signal)
}

function endAll(): void {
  for (const child of children) child.kill("SIGKILL")
}
