import {
  bankModel,
  boardModel,
  counterModel,
  listModel,
  modelOfMethods,
  type Operation,
  registerModel,
  type SequentialModel,
} from "@lockstep/testing"

/** A history whose verdict is known, by a reason that a reader can follow. It judges the checker. */
export interface KnownHistory {
  readonly name: string
  readonly because: string
  readonly model: SequentialModel<unknown>
  readonly isLinearizable: boolean
  readonly operations: ReadonlyArray<Operation>
}

/** First in, first out. `enq(x)` returns null; `deq()` the oldest item, or null if there is none. */
const queueModel = modelOfMethods<ReadonlyArray<unknown>>({
  name: "queue",
  initial: () => [],
  methods: {
    enq: (items, [item]) => [[...items, item], { returned: null }],
    deq: (items) => [items.slice(1), { returned: items[0] ?? null }],
  },
})

/**
 * Histories of one model as a text: "yes" or "no", the name, the reason, and then the operations: who called, when it was called
 * and returned ("?": never), what (of which key, else "k"), and what was returned ("=", else null) or thrown ("!").
 */
function known(model: SequentialModel<unknown>, text: string): ReadonlyArray<KnownHistory> {
  const paragraphs = text.trim().split(/\n\s*(?=yes |no )/)
  return paragraphs.map((paragraph) => {
    const [head = "", ...lines] = paragraph.split("\n")
    const [, verdict, name, because] = /^(yes|no) +(.+?): (.+)$/.exec(head) ?? []
    if (name === undefined || because === undefined) throw new Error(`not the head of a history: ${head}`)
    const calls = lines.join(";").split(";")
    const operations = calls.map((call) => call.trim()).filter((call) => call !== "")
    return { name, because, model, isLinearizable: verdict === "yes", operations: operations.map(operation) }
  })
}

function operation(text: string): Operation {
  const form = /^(\w+) (\d+)\.\.(?:(\d+)|\?) (?:(\w+)\.)?(\w+)\((.*?)\)(?: = (.+)| ! (\w+))?$/.exec(text)
  if (form === null) throw new Error(`not an operation: ${text}`)
  const [, client = "", call, returned, key = "k", member, args, result = "null", threw] = form
  const output = threw === undefined ? { returned: value(result) } : { threw }
  return {
    client,
    key,
    call: Number(call),
    return: returned === undefined ? undefined : Number(returned),
    input: [member, ...(value(`[${args}]`) as ReadonlyArray<unknown>)],
    output: returned === undefined ? undefined : output,
  }
}

/** JSON, and bigints as in TypeScript. */
function value(text: string): unknown {
  return JSON.parse(text.replace(/(-?\d+)n\b/g, '"$1n"'), (_, part: unknown) =>
    typeof part === "string" && /^-?\d+n$/.test(part) ? BigInt(part.slice(0, -1)) : part,
  )
}

function adds(count: number, place: (i: number) => Partial<Operation>): ReadonlyArray<Operation> {
  return Array.from({ length: count }, (_, i) => {
    const [call, output] = [2 * i, { returned: i + 1 }]
    return { client: `c${i}`, key: "k", call, return: call + 1, input: ["add", 1], output, ...place(i) }
  })
}

const get = (call: number, sum: number): Operation => ({
  client: "reader",
  key: "k",
  call,
  return: call + 1,
  input: ["get"],
  output: { returned: sum },
})
const lost = { return: undefined, output: undefined }

const REGISTER = `
  yes nothing at all: nothing contradicts itself
  yes a first read: the register begins with 0
      a 0..1 read() = 0
  no  a value from nowhere: nobody wrote 7
      a 0..1 write(1); b 2..3 read() = 7
  no  a stale read: the write had returned before the read was called
      a 0..1 write(1); b 2..3 read() = 0
  yes the old value while a write runs: the read may go first
      a 0..3 write(1); b 1..2 read() = 0
  yes the new value while a write runs: the write may go first
      a 0..3 write(1); b 1..2 read() = 1
  no  new, then old, of one reader: reads may not go back
      a 0..9 write(1); b 1..2 read() = 1; b 3..4 read() = 0
  no  new, then old, of two readers: what one saw has happened for the other (regular, not atomic; Lamport 1986)
      a 0..9 write(1); b 1..2 read() = 1; c 3..4 read() = 0
  yes old, then new: the write may fall between the reads
      a 0..9 write(1); b 1..2 read() = 0; c 3..4 read() = 1
  yes new and old at once: the reads overlap, so the old one may go first
      a 0..9 write(1); b 1..4 read() = 1; c 2..3 read() = 0
  no  a read of the future: the write was called after the read had returned
      a 0..1 read() = 1; b 2..3 write(1)
  yes a call at the moment of a return: they overlap
      a 0..1 write(1); b 1..2 read() = 0
  yes three at one moment: they overlap, in any order
      a 1..1 write(1); b 1..1 read() = 0; c 1..1 write(2); d 2..3 read() = 1
  no  a lost update: the second write came after the first
      a 0..1 write(1); b 2..3 write(2); c 4..5 read() = 1
  yes writes that overlap: either may be the last
      a 0..2 write(1); b 1..3 write(2); c 4..5 read() = 1
  no  a change after all writes had returned: nobody was left to make it
      a 0..2 write(1); b 1..3 write(2); c 4..5 read() = 1; d 6..7 read() = 2
  yes a change while writes run: the second write may fall between
      a 0..9 write(1); b 0..9 write(2); c 1..2 read() = 1; d 3..4 read() = 2
  no  there and back: each of two writes happens once
      a 0..9 write(1); b 0..9 write(2); c 1..2 read() = 1; c 3..4 read() = 2; c 5..6 read() = 1
  no  two readers, two orders: writes happen in one order for all
      a 0..9 write(1); b 0..9 write(2)
      c 1..2 read() = 1; c 3..4 read() = 2; d 1..2 read() = 2; d 3..4 read() = 1
  yes a long write that wins at last: it may fall anywhere within its time
      a 0..20 write(9); b 1..2 write(1); b 3..4 read() = 1; b 5..6 read() = 9
  yes one winner of two: the other saw that it was too late
      a 0..3 compareAndSet(0, 1) = true; b 1..4 compareAndSet(0, 2) = false
  no  two winners of one: after either, the value is no longer 0 (as in write skew)
      a 0..3 compareAndSet(0, 1) = true; b 1..4 compareAndSet(0, 2) = true
  no  two losers: the first of them found 0
      a 0..3 compareAndSet(0, 1) = false; b 1..4 compareAndSet(0, 2) = false
  yes a chain of conditions, called in the opposite order: they overlap, so the second call may go first
      a 0..3 compareAndSet(1, 2) = true; b 1..4 compareAndSet(0, 1) = true
  no  a chain of conditions, the end before the beginning: it had returned before its condition was made
      a 0..1 compareAndSet(1, 2) = true; b 2..3 compareAndSet(0, 1) = true
  yes there and back by conditions: 0, 1, 0, 2
      a 0..9 compareAndSet(0, 1) = true; b 0..9 compareAndSet(0, 2) = true; c 0..9 compareAndSet(1, 0) = true
  no  a won condition without effect: its value is gone although nobody else wrote
      a 0..1 compareAndSet(0, 1) = true; b 2..3 read() = 0
  no  a lost condition with an effect: it said that it had not set 5
      a 0..1 compareAndSet(3, 5) = false; b 2..3 read() = 5
  yes an unknown write that happened: it may happen at any time after its call
      a 0..? write(1); b 2..3 read() = 1
  yes an unknown write that did not: it may never happen
      a 0..? write(1); b 2..3 read() = 0
  yes an unknown write that happened late: after the first read
      a 0..? write(1); b 2..3 read() = 0; b 100..101 read() = 1
  no  an unknown write undone: once seen, it has happened
      a 0..? write(1); b 2..3 read() = 1; b 4..5 read() = 0
  no  an unknown write before its call: it cannot happen earlier
      b 0..1 read() = 1; a 2..? write(1)
  no  an unknown write that happens twice: it explains one change
      a 0..? write(1); b 1..2 read() = 1; b 3..4 write(2); b 5..6 read() = 1
  yes two unknown writes of one value: they explain two changes
      a 0..? write(1); c 0..? write(1); b 1..2 read() = 1; b 3..4 write(2); b 5..6 read() = 1
  no  two unknown writes of one value, the second too late: it was called after the second change was seen
      a 0..? write(1); b 1..2 read() = 1; b 3..4 write(2); b 5..6 read() = 1; c 7..? write(1)
  yes three unknown writes, read in the opposite order: each may wait
      a 0..? write(1); a 1..? write(2); a 2..? write(3)
      b 3..4 read() = 3; b 5..6 read() = 2; b 7..8 read() = 1
  yes an unknown condition that was met: otherwise 5 is not explained
      a 0..? compareAndSet(0, 5); b 1..2 compareAndSet(5, 6) = true
  no  an unknown condition that was never met: the register was never 3
      a 0..? compareAndSet(3, 5); b 1..2 read() = 5
  yes unknown conditions in a chain: each makes the next one's
      a 0..? compareAndSet(2, 3); b 0..? compareAndSet(1, 2); c 0..? compareAndSet(0, 1); d 1..2 read() = 3
  no  unknown conditions in a chain, a link too late: the middle was called after the end was seen
      a 0..? compareAndSet(2, 3); c 0..? compareAndSet(0, 1); d 1..2 read() = 3; b 3..? compareAndSet(1, 2)
  yes an unknown read: it changes nothing, and may be left out
      a 0..? read(); b 1..2 write(1); b 3..4 read() = 1
  yes two keys: each is a register of its own
      a 0..1 x.write(1); b 2..3 y.read() = 0; b 4..5 x.read() = 1
  no  one key of two: the other does not excuse it
      a 0..1 x.write(1); a 2..3 y.write(1); b 4..5 x.read() = 1; b 6..7 y.read() = 0
  no  independent reads of independent writes: x goes back for the second reader (IRIW)
      a 0..9 x.write(1); b 0..9 y.write(1); c 1..2 x.read() = 1; c 3..4 y.read() = 0
      d 1..2 y.read() = 1; d 3..4 x.read() = 0`

const QUEUE = `
  yes Herlihy & Wing, H1: the enqueues overlap, and x may have been the first
      a 0..3 enq("x"); b 1..4 enq("y"); b 5..6 deq() = "x"; a 7..8 deq() = "y"; a 9..10 enq("z")
  no  Herlihy & Wing, H2: x was in the queue before y was enqueued
      a 0..1 enq("x"); b 2..4 enq("y"); a 3..5 deq() = "y"
  yes Herlihy & Wing, H3: an enqueue that has not returned may have happened
      a 0..? enq("x"); b 1..2 deq() = "x"
  no  Herlihy & Wing, H4: y is dequeued twice
      a 0..2 enq("x"); b 1..3 enq("y"); a 4..6 deq() = "y"; c 5..7 deq() = "y"
  no  last in, first out: y was enqueued after x
      a 0..1 enq("x"); a 2..3 enq("y"); b 4..5 deq() = "y"
  yes dequeues that overlap: who got x may have gone first
      a 0..1 enq("x"); a 2..3 enq("y"); b 4..7 deq() = "y"; c 5..6 deq() = "x"
  no  empty although it was not: x was enqueued, and nobody took it
      a 0..1 enq("x"); b 2..3 deq() = null
  yes empty while an enqueue runs: it may go later
      a 0..3 enq("x"); b 1..2 deq() = null; b 4..5 deq() = "x"
  yes an item that an unknown dequeue took: the next one is y
      a 0..1 enq("x"); a 2..3 enq("y"); b 4..? deq(); c 5..6 deq() = "y"`

const COUNTER = `
  yes adds that overlap: one after the other
      a 0..3 add(1) = 2; b 1..2 add(1) = 1
  no  a lost add: the second of them found 1
      a 0..3 add(1) = 1; b 1..2 add(1) = 1
  no  a doubled add: it returned what two make
      a 0..1 add(1) = 2
  no  a retry that was executed again: one add, and the sum is 2
      a 0..5 add(1) = 1; b 6..7 get() = 2
  no  adds in the opposite order: the one that returned first found the other's
      a 0..1 add(1) = 2; b 2..3 add(1) = 1
  yes an unknown add that happened: it explains the gap
      a 0..? add(1); b 1..2 add(1) = 2
  no  an unknown add that happened twice: it explains 1 of 2
      a 0..? add(1); b 1..2 get() = 2
  no  an unknown add undone: once seen, it has happened
      a 0..? add(1); b 1..2 get() = 1; b 3..4 get() = 0
  yes some of the unknown adds: 3 and 5 make 8
      a 0..? add(2); a 1..? add(3); a 2..? add(5); b 3..4 get() = 8
  no  none of the unknown adds: 2 and 4 do not make 5
      a 0..? add(2); a 1..? add(4); b 2..3 get() = 5
  yes the greater of the unknown adds first: then the other
      a 0..? add(2); a 1..? add(4); b 2..3 get() = 4; b 4..5 get() = 6
  no  another of the unknown adds than before: 4 was seen, so 2 alone is past
      a 0..? add(2); a 1..? add(4); b 2..3 get() = 4; b 4..5 get() = 2
  yes down again by an unknown add of less than zero: 5, then 5 - 5
      a 0..? add(5); a 1..? add(-5); b 2..3 get() = 5; b 4..5 get() = 0
  yes below zero first: -5, then 5 - 5
      a 0..? add(5); a 1..? add(-5); b 2..3 get() = -5; b 4..5 get() = 0
  yes the unknown adds that are left: 1 and not 2 - 1 came first, as -1 - 1 came later
      a 6..8 add(0) = -3; b 6..? add(2); c 6..? add(-1); d 7..7 add(-2) = -1; e 1..? add(-1); f 7..? add(1)
  no  a gap between answers: nobody added the missing 1
      a 0..1 add(1) = 1; a 2..3 add(1) = 3`

const LIST = `
  yes appends that overlap: y may be the first
      a 0..3 append("x") = 2; b 1..2 append("y") = 1; c 4..5 read() = ["y", "x"]
  no  an append executed twice: it was called once
      a 0..1 append("x") = 1; b 2..3 read() = ["x", "x"]
  no  a lost append: both found an empty list
      a 0..3 append("x") = 1; b 1..2 append("y") = 1
  no  an answered append is missing: it had returned before the read
      a 0..1 append("x") = 1; b 2..3 read() = []
  no  an order that time contradicts: x had returned before y was called
      a 0..1 append("x") = 1; b 2..3 append("y") = 2; c 4..5 read() = ["y", "x"]
  no  an order that the answers contradict: x was told that it is the second
      a 0..3 append("x") = 2; b 1..2 append("y") = 1; c 4..5 read() = ["x", "y"]
  no  two readers, two orders: one of x and y is the first for all
      a 0..9 append("x") = 1; b 0..9 append("y") = 2; c 1..2 read() = ["x"]; d 3..4 read() = ["y"]
  no  a list that becomes shorter: nothing is ever removed
      a 0..9 append("x") = 1; c 1..2 read() = ["x"]; c 3..4 read() = []
  yes an unknown append that was seen: it happened
      a 0..? append("x"); b 1..2 read() = ["x"]
  no  an unknown append that was seen twice: it happened once
      a 0..? append("x"); b 1..2 read() = ["x", "x"]
  yes an unknown append that came late: after y
      a 0..? append("x"); b 1..2 append("y") = 1; b 3..4 read() = ["y"]; b 5..6 read() = ["y", "x"]
  no  an unknown append that came late, but before y: y was the first when it was read
      a 0..? append("x"); b 1..2 append("y") = 1; b 3..4 read() = ["y"]; b 5..6 read() = ["x", "y"]
  yes an unknown append behind a gap: y is the second, so x is the first
      a 0..? append("x"); b 1..2 append("y") = 2; b 3..4 read() = ["x", "y"]
  no  a gap and nobody in it: y is alone
      b 1..2 append("y") = 2
  yes one of two unknown appends: the read tells which
      a 0..? append("w"); a 0..? append("x"); b 1..2 append("y") = 2; b 3..4 read() = ["x", "y"]
  no  an unknown append called after it was read: it cannot have been there
      b 0..1 read() = ["x"]; a 2..? append("x")`

const BANK = `
  yes a transfer: the total stays
      a 0..1 deposit("ada", 100n) = 100n; a 2..3 transfer("ada", "bob", 30n) = 70n; b 2..3 total() = 100n
  no  a total that saw half a transfer: 70 is the sum at no time
      a 0..1 deposit("ada", 100n) = 100n; a 2..5 transfer("ada", "bob", 30n) = 70n; b 3..4 total() = 70n
  no  an overdraft of two that overlap: 50 is enough for one of them
      a 0..1 deposit("ada", 50n) = 50n; b 2..5 transfer("ada", "bob", 40n) = 10n; c 3..4 transfer("ada", "cy", 40n) = 10n
  no  an overdraft: the bank refuses what is not there
      a 0..1 deposit("ada", 5n) = 5n; b 2..3 transfer("ada", "bob", 8n) = -3n
  yes refused, as another transfer went first: 10 are left
      a 0..1 deposit("ada", 50n) = 50n; b 2..5 transfer("ada", "bob", 40n) = 10n
      c 3..4 transfer("ada", "cy", 40n) ! InsufficientFunds
  no  refused although there is enough: 50 are there at all times
      a 0..1 deposit("ada", 50n) = 50n; b 2..3 transfer("ada", "bob", 40n) ! InsufficientFunds
  no  refused for another reason than there is: the bank knows one
      a 0..1 transfer("ada", "bob", 40n) ! AccountClosed
  no  money from nowhere: bob has nothing
      a 0..1 transfer("bob", "ada", 1n) = 0n
  no  a transfer executed twice: 100 - 30 - 30 is seen after one
      a 0..1 deposit("ada", 100n) = 100n; a 2..3 transfer("ada", "bob", 30n) = 70n
      b 4..5 transfer("ada", "cy", 10n) = 30n
  yes a transfer to oneself: nothing changes
      a 0..1 deposit("ada", 10n) = 10n; a 2..3 transfer("ada", "ada", 4n) = 10n; b 4..5 total() = 10n
  yes an unknown deposit that paid: there was nothing else
      a 0..? deposit("ada", 10n); b 1..2 transfer("ada", "bob", 8n) = 2n
  no  an unknown deposit that did not pay enough: 10 are less than 12
      a 0..? deposit("ada", 10n); b 1..2 transfer("ada", "bob", 12n) = 0n
  yes an unknown transfer, refused or not yet done: bob has nothing
      a 0..? transfer("ada", "bob", 10n); b 1..2 deposit("ada", 10n) = 10n
      b 3..4 transfer("bob", "ada", 1n) ! InsufficientFunds; b 5..6 deposit("bob", 1n) = 11n
  yes money that comes and goes unknown: 7, then 7 - 7
      a 0..? deposit("ada", 7n); a 1..? deposit("ada", -7n); b 2..3 total() = 7n; b 4..5 total() = 0n`

const BOARD = `
  yes two flights at once: in either order
      a 0..3 depart({"delay": 20}) = 2; b 1..2 depart({"delay": -3}) = 1
      c 4..5 board() = {"departures": 2, "delayed": 1, "delayMinutes": 17}
  no  a torn board: the flight is counted, its delay is not
      a 0..3 depart({"delay": 20}) = 1; c 1..2 board() = {"departures": 1, "delayed": 0, "delayMinutes": 0}
  no  a flight counted twice: one left
      a 0..1 depart({"delay": 20}) = 1; c 2..3 board() = {"departures": 2, "delayed": 2, "delayMinutes": 40}
  yes 15 minutes are late, 14 are not: as the board counts
      a 0..1 depart({"delay": 15}) = 1; a 2..3 depart({"delay": 14}) = 2
      c 4..5 board() = {"departures": 2, "delayed": 1, "delayMinutes": 29}
  yes one of two unknown flights: the delay tells which
      a 0..? depart({"delay": 20}); a 1..? depart({"delay": 30}); c 2..3 depart({"delay": 0}) = 2
      c 4..5 board() = {"departures": 2, "delayed": 1, "delayMinutes": 30}
  no  neither of two unknown flights: 25 minutes are nobody's
      a 0..? depart({"delay": 20}); a 1..? depart({"delay": 30}); c 2..3 depart({"delay": 0}) = 2
      c 4..5 board() = {"departures": 2, "delayed": 1, "delayMinutes": 25}`

const WRITES = Array.from({ length: 24 }, (_, i) => `c 0..? write(${i})`).join("; ")

const MANY_UNKNOWN = `
  yes 24 unknown writes: what is read was written by one of them each time
      ${WRITES}; a 1..2 read() = 7; a 3..4 read() = 5; a 5..6 read() = 19
  no  24 unknown writes, none of which can be: each happens once
      ${WRITES}; a 1..2 read() = 7; a 3..4 read() = 5; a 5..6 read() = 7`

function counted(
  verdict: "yes" | "no",
  name: string,
  because: string,
  operations: ReadonlyArray<Operation>,
): KnownHistory {
  return { name, because, model: counterModel, isLinearizable: verdict === "yes", operations }
}

const together = { call: 0, return: 1000 }

const LONG: ReadonlyArray<KnownHistory> = [
  counted("yes", "300 adds in a row", "each finds the one before", [...adds(300, () => ({})), get(600, 300)]),
  counted("no", "300 adds in a row, of which one got lost", "the sum is 299", [
    ...adds(300, () => ({})),
    get(600, 299),
  ]),
  counted("yes", "40 adds at once", "each has a place of its own", [
    ...adds(40, () => together),
    get(1001, 40),
  ]),
  counted("no", "12 adds at once, two with one answer", "12 adds have 12 answers", [
    ...adds(12, (i) => ({ ...together, output: { returned: Math.max(i, 1) } })),
  ]),
  counted("yes", "200 unknown adds", "117 of them happened", [...adds(200, () => lost), get(400, 117)]),
  counted("no", "200 unknown adds of which 201 happened", "that is one too many", [
    ...adds(200, () => lost),
    get(400, 201),
  ]),
]

/** All of them. */
export const KNOWN_HISTORIES: ReadonlyArray<KnownHistory> = [
  ...known(registerModel, REGISTER),
  ...known(registerModel, MANY_UNKNOWN),
  ...known(queueModel, QUEUE),
  ...known(counterModel, COUNTER),
  ...known(listModel, LIST),
  ...known(bankModel, BANK),
  ...known(boardModel, BOARD),
  ...LONG,
]
