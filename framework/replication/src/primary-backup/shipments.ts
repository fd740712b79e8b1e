import type { Life, ReplicaId } from "@lockstep/core"
import type { Departure } from "../reign.ts"
import type { RecordObservation, ShipmentObservation, ShipmentObserver } from "../shipment.ts"
import type { JournalRecord } from "./record.ts"

/** Records that are watched on their way to one backup, at most. */
const WATCHED_MAX = 8192

/** A record that is watched, and that a backup does not hold yet. */
interface Shipment {
  readonly position: number
  readonly record: RecordObservation
  /** Since it was sent first. */
  observation: ShipmentObservation | undefined
}

/** What one backup, in the life in which it was counted on, does not hold yet: in the order of the records. */
interface Outstanding {
  readonly life: Life
  shipments: Array<Shipment>
  /** So many of them were sent; what is sent again is no news. */
  begun: number
}

/** Records of traced commands on their way to the backups, for whoever watches. Where nothing is traced, there is nothing here. */
export class Shipments {
  readonly #observer: ShipmentObserver | undefined
  readonly #outstanding = new Map<ReplicaId, Outstanding>()

  constructor(observer: ShipmentObserver | undefined) {
    this.#observer = observer
  }

  /** This primary has made a record, which is to come to these backups. */
  recorded({ position, traces }: JournalRecord, backups: ReadonlyArray<Life>): void {
    const record = this.#observer?.recorded({ position, traces })
    if (record === undefined) return
    for (const life of backups) {
      this.lives(life)
      const outstanding = this.#outstanding.get(life.replica) ?? { life, shipments: [], begun: 0 }
      this.#outstanding.set(life.replica, outstanding)
      if (outstanding.shipments.length < WATCHED_MAX)
        outstanding.shipments.push({ position, record, observation: undefined })
    }
  }

  /** The backup was sent all up to here, perhaps once more. */
  sent(life: Life, upTo: number): void {
    const outstanding = this.#of(life)
    if (outstanding === undefined) return
    const { shipments } = outstanding
    for (; outstanding.begun < shipments.length; outstanding.begun++) {
      const shipment = shipments[outstanding.begun]
      if (shipment === undefined || shipment.position > upTo) return
      shipment.observation = shipment.record.shipped(life.replica)
    }
  }

  /** The backup has all up to here on its disk. */
  held(life: Life, upTo: number): void {
    const outstanding = this.#of(life)
    if (outstanding === undefined) return
    const open = outstanding.shipments.findIndex(({ position }) => position > upTo)
    const held = outstanding.shipments.splice(0, open < 0 ? outstanding.shipments.length : open)
    outstanding.begun = Math.max(0, outstanding.begun - held.length)
    for (const { observation } of held) observation?.end("held")
    if (outstanding.shipments.length === 0) this.#outstanding.delete(life.replica)
  }

  /** The replica is in this life: an earlier one acknowledges nothing any more. */
  lives(life: Life): void {
    const outstanding = this.#outstanding.get(life.replica)
    if (outstanding !== undefined && outstanding.life.incarnation !== life.incarnation)
      this.left(outstanding.life, "restarted")
  }

  /** The backup is counted on no more. */
  left(life: Life, why: Departure): void {
    const outstanding = this.#of(life)
    if (outstanding === undefined) return
    this.#outstanding.delete(life.replica)
    for (const { observation } of outstanding.shipments) observation?.end(why)
  }

  /** The reign is over: what comes now, comes to another primary. */
  end(why: Departure): void {
    for (const { life } of this.#outstanding.values()) this.left(life, why)
  }

  #of({ replica, incarnation }: Life): Outstanding | undefined {
    const outstanding = this.#outstanding.get(replica)
    return outstanding?.life.incarnation === incarnation ? outstanding : undefined
  }
}
