// What callers are told of commands of which nobody knows what became.
export const UNRECORDED =
  "The primary that the command was sent to is gone, and the next one has no record of it."
export const ADVICE =
  "It may or may not take effect; retry(error) finds its answer, or executes it where no primary has a record of it: then what it does to the outside world may happen twice (`context.id` is the same)."
export const TOO_LATE = "The primary did not answer in time."
export const ASKED_AGAIN = "The caller has asked for its outcome once more."
