import type { Observer } from "@lockstep/actor"
import type { ReplicaId } from "@lockstep/core"

/** Where the flags of a traceparent stand. */
const FLAGS_AT = 53

/** Watches commands as production does where they are traced: it names each as no other replica does, and does nothing else. */
export function naming(replica: ReplicaId): Observer {
  let count = 0
  return {
    begin: () => ({ span: `${replica}-${++count}`, run: (command) => command(), end: () => undefined }),
    unseen: (command) => command(),
  }
}

/** What travels in the place of a command's trace: its id, and for every other command that it is sampled. */
export function traceOf(id: string): string {
  return `${id.padEnd(FLAGS_AT)}0${id.charCodeAt(id.length - 1) % 2}`
}

/** The id of the command that this travelled with. */
export function idOf(trace: string): string {
  return trace.slice(0, FLAGS_AT).trimEnd()
}
