import { type ActorClass, Command, Replicated, stateMachine } from "lockstep"
import type { ReplicationMode } from "@lockstep/replication"

/** An actor with a few hundred bytes of state. */
export interface Profile {
  about: string
  write(about: string): number
  visit(): number
}

/** The class of profiles that are replicated in this way. */
export function profileOf(mode: ReplicationMode): ActorClass<Profile> {
  @Replicated({ name: "bench/Profile", version: 1, mode })
  class ReplicatedProfile implements Profile {
    about = ""
    visits = 0

    @Command()
    write(about: string): number {
      this.about = about
      return about.length
    }

    @Command()
    visit(): number {
      this.visits++
      return this.visits
    }
  }
  return ReplicatedProfile
}

/** What a profile is about: different for each, and about 300 bytes of state with it. */
export function biography(index: number): string {
  return `${index} `.repeat(300).slice(0, ABOUT_LENGTH)
}

const ABOUT_LENGTH = 270

export const Voted = profileOf(stateMachine({ faults: 1, faultModel: "byzantine" }))

export const actors = [Voted]
