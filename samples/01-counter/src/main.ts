import { Command, connect, Replicated, stateMachine } from "lockstep"
import { develop } from "lockstep/develop"

@Replicated({ name: "Counter", version: 1, mode: stateMachine({ faults: 1, faultModel: "byzantine" }) })
class Counter {
  value = 0

  @Command()
  increment(): number {
    this.value += 1
    return this.value
  }
}

// A nats-server and three replicas on this machine; in production they are programs of their own.
await using group = await develop([Counter])
await using client = await connect({ servers: group.servers })

const visits = client.actor(Counter, "visits")
console.log(await visits.increment(), await visits.increment(), await visits.increment())
