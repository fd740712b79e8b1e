import { setTimeout as sleep } from "node:timers/promises"
import { type Client, LockstepError, OutcomeUnknown } from "lockstep"
import { inventoryOf, type Replication, type Reservation } from "./inventory.ts"

/** A reservation that a customer was told to have. */
export interface Answer {
  readonly reservation: Reservation
  readonly atMs: number
}

/** Customers who reserve all the time, one piece after the other. */
export class Customers {
  readonly answers: Array<Answer> = []
  /** How often the outcome of a reservation was unknown: somebody asked again, or gave up. */
  askedAgain = 0
  gaveUp = 0
  readonly #item
  readonly #client: Client
  readonly #open: ReadonlyArray<Promise<void>>
  #isClosing = false

  constructor(client: Client, replication: Replication) {
    this.#client = client
    this.#item = client.actor(inventoryOf(replication), "lamp")
    // every fourth never asks again
    this.#open = Array.from({ length: 8 }, (_, i) => this.#shop({ isPatient: i % 4 !== 0 }))
  }

  /** Resolves when all have their last answer. */
  async leave(): Promise<void> {
    this.#isClosing = true
    await Promise.all(this.#open)
  }

  /** What the group says is reserved. */
  reserved(): Promise<ReadonlyArray<Reservation>> {
    return this.#item.reserved()
  }

  async #shop(customer: { readonly isPatient: boolean }): Promise<void> {
    while (!this.#isClosing) {
      const reservation = await this.#reserve(customer)
      if (reservation !== undefined) this.answers.push({ reservation, atMs: performance.now() })
    }
  }

  async #reserve({ isPatient }: { readonly isPatient: boolean }): Promise<Reservation | undefined> {
    let attempt: () => Promise<Reservation> = () => this.#item.reserve()
    for (;;) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof LockstepError)) throw error
        if (error.tookEffect === "no") {
          await sleep(20) // nothing was executed: there is no primary, or it has too few backups
        } else if (isPatient && error instanceof OutcomeUnknown) {
          this.askedAgain++
          attempt = () => this.#client.retry(error) as Promise<Reservation> // that is what it answers
        } else {
          this.gaveUp++
          return undefined
        }
      }
    }
  }
}
