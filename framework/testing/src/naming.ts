import type { Observer } from "@lockstep/actor"
import type { ReplicaId } from "@lockstep/core"

/** Watches commands as production does where they are traced: it names each as no other replica does, and does nothing else. */
export function naming(replica: ReplicaId): Observer {
  let count = 0
  return {
    begin: () => ({ span: `${replica}-${++count}`, run: (command) => command(), end: () => undefined }),
  }
}
