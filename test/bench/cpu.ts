import { existsSync, readFileSync } from "node:fs"

/** What a process has had of a processor since it started, milliseconds. Undefined where there is no /proc. */
export function cpuMs(pid: number): number | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  // the second field is the program's name in brackets, which may hold blanks
  const fields = readFileSync(file, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
  const [userTicks, systemTicks] = [Number(fields[11]), Number(fields[12])]
  return (userTicks + systemTicks) * TICK_MS
}

/** On Linux, what it tells programs about is in hundredths of a second. */
const TICK_MS = 10
