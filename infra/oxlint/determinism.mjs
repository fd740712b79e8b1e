// oxlint plugin (ESLint's interface): what a replicated class may not do, told while it is written. The guard in
// framework/actor tells the rest at run time, with the actor and the seq.
//
// lockstep/no-ambient   no clock, randomness, timer, network or garbage collector inside a decorated class
// lockstep/no-async     no async function, await or generator of promises inside a decorated class
//
// Both take { decorators: [names] }; the default is Replicated. A name counts when it is the global or comes from
// one of Node's own modules; a field, parameter or local of the same name is somebody else. A class whose decorator says
// `mode: primaryBackup(…)` runs in one place, and may do all of that.

/** Functions and constructors that are called by their bare name. */
const bannedCalls = new Set([
  "Date",
  "setTimeout",
  "setInterval",
  "setImmediate",
  "queueMicrotask",
  "requestAnimationFrame",
  "fetch",
])
const bannedConstructors = new Set([
  "WebSocket",
  "EventSource",
  "XMLHttpRequest",
  "Worker",
  "BroadcastChannel",
  "MessageChannel",
  "WeakRef",
  "FinalizationRegistry",
])
/** object → what of it is banned: a set of names, or a pattern. */
const bannedMembers = new Map([
  ["Date", /^now$/],
  ["Math", /^random$/],
  ["performance", /^(now|timeOrigin|mark|measure)$/],
  ["crypto", /^(random|getRandom|generate|prng|pseudoRandom)/],
  [
    "process",
    /^(hrtime|uptime|nextTick|env|pid|ppid|cwd|argv|cpuUsage|memoryUsage|resourceUsage|availableMemory)$/,
  ],
  ["Atomics", /^(wait|waitAsync|notify)$/],
  ["Temporal", /^Now$/],
  ["AbortSignal", /^timeout$/],
])
/** Node's modules → the global object whose rules they follow; null: nothing of the module may be called. */
const modules = new Map([
  ["crypto", "crypto"],
  ["perf_hooks", "performance"],
  ["process", "process"],
  ["timers", null],
  ["timers/promises", null],
  ["fs", null],
  ["fs/promises", null],
  ["net", null],
  ["dns", null],
  ["dgram", null],
  ["http", null],
  ["https", null],
  ["os", null],
  ["child_process", null],
  ["worker_threads", null],
])
const holders = new Set(["globalThis", "global", "window", "self"])

const schema = [
  {
    type: "object",
    properties: { decorators: { type: "array", items: { type: "string" } } },
    additionalProperties: false,
  },
]

const noAmbient = {
  meta: {
    type: "problem",
    docs: { description: "forbid ambient time, randomness and I/O inside replicated classes" },
    messages: {
      ambient:
        "'{{name}}' differs between replicas: take it from the actor context, or pass it as an argument",
    },
    schema,
  },
  create(context) {
    const { visitor, inside } = decoratedClasses(context)
    const report = (node, name) => context.report({ node, messageId: "ambient", data: { name } })
    /** The banned thing that this expression names, if it names one. */
    const named = (node, use) => {
      const path = pathOf(node)
      if (path === undefined) return undefined
      const origin = originOf(context, path.root, path.names[0])
      if (origin === undefined) return undefined
      let names = path.names
      if (origin.module !== undefined) {
        const like = modules.get(origin.module)
        if (like === undefined) return undefined
        const members = origin.imported === undefined ? names.slice(1) : [origin.imported, ...names.slice(1)]
        if (like === null) return use === "call" && members.length > 0 ? names.join(".") : undefined
        // import { performance } from "node:perf_hooks", import { webcrypto } from "node:crypto"
        while (["performance", "webcrypto", "default"].includes(members[0])) members.shift()
        return members.length > 0 && bannedMembers.get(like).test(members[0]) ? names.join(".") : undefined
      }
      while (names.length > 1 && holders.has(names[0])) names = names.slice(1)
      if (names.length === 1) {
        if (use === "call" && bannedCalls.has(names[0])) return `${names[0]}()`
        if (use === "new" && bannedConstructors.has(names[0])) return `new ${names[0]}()`
        return undefined
      }
      return bannedMembers.get(names[0])?.test(names[1]) ? names.join(".") : undefined
    }
    return {
      ...visitor,
      MemberExpression(node) {
        if (!inside()) return
        // the outermost member of a chain speaks for it: process.hrtime.bigint is one report
        if (node.parent?.type === "MemberExpression" && node.parent.object === node) return
        if (node.parent?.type === "CallExpression" && node.parent.callee === node) return
        const name = named(node, "read")
        if (name !== undefined) report(node, name)
      },
      VariableDeclarator(node) {
        if (!inside() || node.id.type !== "ObjectPattern" || node.init === null) return
        // const { random } = Math
        const path = pathOf(node.init)
        if (path === undefined || originOf(context, path.root, path.names[0])?.global !== true) return
        const holder = path.names.at(-1)
        for (const property of node.id.properties) {
          const key =
            property.type === "Property" ? propertyName({ ...property, property: property.key }) : undefined
          if (key !== undefined && bannedMembers.get(holder)?.test(key)) report(property, `${holder}.${key}`)
        }
      },
      CallExpression(node) {
        if (!inside()) return
        const name = named(node.callee, "call")
        if (name !== undefined) report(node, name)
      },
      NewExpression(node) {
        if (!inside()) return
        const path = pathOf(node.callee)
        if (path === undefined || originOf(context, path.root, path.names[0])?.global !== true) return
        if (path.names.at(-1) === "Date" && path.names.slice(0, -1).every((name) => holders.has(name))) {
          if (node.arguments.length === 0) report(node, "new Date()")
          return
        }
        const name = named(node.callee, "new")
        if (name !== undefined) report(node, name)
      },
    }
  },
}

const noAsync = {
  meta: {
    type: "problem",
    docs: { description: "forbid async and await inside replicated classes" },
    messages: {
      async:
        "a replicated class is synchronous: every replica must finish a command before the next one begins",
    },
    schema,
  },
  create(context) {
    const { visitor, inside } = decoratedClasses(context)
    const report = (node) => void (inside() && context.report({ node, messageId: "async" }))
    const whenAsync = (node) => void (node.async && report(node))
    return {
      ...visitor,
      FunctionExpression: whenAsync,
      FunctionDeclaration: whenAsync,
      ArrowFunctionExpression: whenAsync,
      AwaitExpression: report,
      ForOfStatement: (node) => void (node.await && report(node)),
      VariableDeclaration: (node) => void (node.kind === "await using" && report(node)),
    }
  },
}

export default { meta: { name: "lockstep" }, rules: { "no-ambient": noAmbient, "no-async": noAsync } }

/** Knows whether the traversal is inside a class that carries one of the decorators. */
function decoratedClasses(context) {
  const marks = new Set(context.options[0]?.decorators ?? ["Replicated"])
  const marked = (node) =>
    (node.decorators ?? []).some((decorator) => marks.has(decoratorName(decorator)) && !runsOnce(decorator))
  let depth = 0
  const enter = (node) => void (marked(node) && depth++)
  const leave = (node) => void (marked(node) && depth--)
  return {
    inside: () => depth > 0,
    visitor: {
      ClassDeclaration: enter,
      "ClassDeclaration:exit": leave,
      ClassExpression: enter,
      "ClassExpression:exit": leave,
    },
  }
}

/** Modes in which one replica executes, and the others are given what came of it. */
const singleMaster = new Set(["primaryBackup"])

/** Whether the decorator's `mode` is the call of such a mode, as it stands there. */
function runsOnce({ expression }) {
  const options = expression.type === "CallExpression" ? expression.arguments[0] : undefined
  if (options?.type !== "ObjectExpression") return false
  return options.properties.some(
    ({ type, key, value }) =>
      type === "Property" &&
      key.type === "Identifier" &&
      key.name === "mode" &&
      value.type === "CallExpression" &&
      singleMaster.has(calleeName(value)),
  )
}

function decoratorName({ expression }) {
  return calleeName(expression)
}

/** The last name of what is called, or named: `f`, of `f()` and of `a.f()`. */
function calleeName(expression) {
  const callee = expression.type === "CallExpression" ? expression.callee : expression
  if (callee.type === "Identifier") return callee.name
  return callee.type === "MemberExpression" ? propertyName(callee) : undefined
}

/** a.b["c"] → names [a, b, c]; undefined for anything that does not start at a plain name. */
function pathOf(node) {
  const names = []
  let at = node
  for (;;) {
    if (at.type === "ChainExpression" || at.type === "TSNonNullExpression") at = at.expression
    else if (at.type === "MemberExpression") {
      const name = propertyName(at)
      if (name === undefined) return undefined
      names.unshift(name)
      at = at.object
    } else break
  }
  return at.type === "Identifier" ? { root: at, names: [at.name, ...names] } : undefined
}

function propertyName({ computed, property }) {
  if (!computed) return property.type === "Identifier" ? property.name : undefined
  return property.type === "Literal" && typeof property.value === "string" ? property.value : undefined
}

/** Where a name comes from: { global }, { module, imported } for one of Node's modules, or undefined. */
function originOf(context, node, name) {
  for (let scope = context.sourceCode.getScope(node); scope !== null; scope = scope.upper) {
    const variable = scope.set.get(name)
    if (variable === undefined || variable.defs.length === 0) continue
    const definition = variable.defs[0]
    if (definition.type !== "ImportBinding") return undefined
    const source = definition.parent.source.value
    const module = source.startsWith("node:") ? source.slice(5) : source
    const specifier = definition.node
    const imported =
      specifier.type === "ImportSpecifier" ? (specifier.imported.name ?? specifier.imported.value) : undefined
    return { module, imported }
  }
  return { global: true }
}
