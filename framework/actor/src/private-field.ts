/**
 * A field that instances of the class keep and nobody else can read, such as `#balance`: it would be missing from every
 * checkpoint. JavaScript has no way to ask, so the text of the class, and of those that it extends, is read: declarations
 * as they stand, and what compilers make of them for older targets. Static ones and #private methods are no state.
 */
export function findPrivateField(actorClass: new () => object): string | undefined {
  for (let at: unknown = actorClass; isClass(at); at = Object.getPrototypeOf(at)) {
    const name = declaredIn(Function.prototype.toString.call(at))
    if (name !== undefined) return name
  }
  return undefined
}

function isClass(value: unknown): value is () => unknown {
  return typeof value === "function" && value !== Function.prototype
}

function declaredIn(text: string): string | undefined {
  let depth = 0
  for (const { 0: token, groups = {} } of text.matchAll(TOKEN)) {
    if (token === "{") depth++
    else if (token === "}") depth--
    // in a method's body, and in the classes that may stand there, names are used: declarations stand at the top
    else if (groups["field"] !== undefined && depth === 1) return groups["field"]
    else if (groups["key"] !== undefined || groups["helped"] !== undefined)
      return groups["key"] ?? groups["helped"]
  }
  return undefined
}

/** Comments, texts and regular expressions are tokens too: what looks like a declaration inside of them is none. */
const TOKEN = new RegExp(
  [
    /\/\*[^]*?\*\//, // a comment
    /\/\/[^\n]*/,
    /"(?:\\[^]|[^"\\\n])*"/, // a text
    /'(?:\\[^]|[^'\\\n])*'/,
    /`(?:\\[^]|[^`\\])*`/, // also what stands between a template that is inside of a template, and its end
    /(?<=(?:[(,=:[!&|?{};+\-*%~^<>]|\breturn|\bcase|\btypeof)\s*)\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n])+\//, // a regular expression
    /[{}]/,
    /\bstatic\s+#[\p{ID_Continue}$]+/u,
    /\.\s*#[\p{ID_Continue}$]+/u, // a use
    /(?<field>#[\p{ID_Continue}$]+)(?!\s*\(|\s+in\b|[\p{ID_Continue}$])/u,
    /(?<![.\w$])(?<key>[\w$]+)\.set\(this, /, // TypeScript, and anyone's WeakMap
    /\b(?:__privateAdd|_classPrivateFieldInitSpec|_class_private_field_init)\(this, (?<helped>[\w$]+), /, // esbuild, Babel and Oxc, SWC
  ]
    .map(({ source }) => source)
    .join("|"),
  "gu",
)
