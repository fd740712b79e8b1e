import { existsSync, readdirSync, readFileSync } from "node:fs"

/** What the threads of a process have had of a processor since they started, milliseconds. Undefined where there is no /proc. */
export function cpuMs(pid: number): number | undefined {
  const tasks = `/proc/${pid}/task`
  if (!existsSync(`${tasks}/${pid}/schedstat`)) return undefined
  const ns = readdirSync(tasks).map((task) => ranNs(`${tasks}/${task}/schedstat`))
  return ns.reduce((sum, each) => sum + each, 0) / 1e6
}

/** Nothing of a thread that has ended meanwhile. */
function ranNs(file: string): number {
  try {
    return Number(readFileSync(file, "utf8").split(" ")[0])
  } catch {
    return 0
  }
}
