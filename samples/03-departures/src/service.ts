import { ReplicaProcess } from "@lockstep/replica-service/process"
import { fileURLToPath } from "node:url"

/** The three replicas of the departures service, each the program of services/replica in a process of its own. */
export interface Service extends AsyncDisposable {
  readonly r0: ReplicaProcess
  readonly r1: ReplicaProcess
  /** Runs a build with a bug, which shows in some periods. */
  readonly r2: ReplicaProcess
}

export async function startService(servers: string, faultyPeriods: string): Promise<Service> {
  const replica = (name: string, module: string): ReplicaProcess =>
    new ReplicaProcess(
      {
        servers,
        group: "departures",
        replica: name,
        createReplicas: "r0,r1,r2",
        module: fileURLToPath(new URL(module, import.meta.url)),
        // as in production; the default elsewhere is to run every command twice and compare
        determinism: "guarded",
      },
      { FAULTY_PERIODS: faultyPeriods },
    )
  const replicas = {
    r0: replica("r0", "./actors.js"),
    r1: replica("r1", "./actors.js"),
    r2: replica("r2", "./faulty-actors.js"),
  }
  const stop = async (): Promise<void> => {
    await Promise.all(Object.values(replicas).map((running) => running.stop()))
  }
  try {
    await Promise.all(Object.values(replicas).map((starting) => starting.start()))
  } catch (cause) {
    await stop()
    throw cause
  }
  return { ...replicas, [Symbol.asyncDispose]: stop }
}
