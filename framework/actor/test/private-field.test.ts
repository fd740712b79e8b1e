import { runInThisContext } from "node:vm"
import { describe, expect, it } from "vitest"
import { findPrivateField } from "../src/private-field.ts"

/** A class as it is written here, seen by no compiler. */
function parse(text: string): new () => object {
  return runInThisContext(`(${text})`) as new () => object
}

describe("a #private field is found", () => {
  it.each([
    ["with a value", "class { #balance = 0 }", "#balance"],
    ["without one", "class { value = 1; #balance; add() {} }", "#balance"],
    ["without a semicolon", "class {\n  #balance\n  add() {}\n}", "#balance"],
    ["in a minified class", "class{#a=1}", "#a"],
    ["with any letters", "class { #größe = 0 }", "#größe"],
    ["of the value of an arrow function", "class { #add = () => 1 }", "#add"],
    [
      "behind methods with braces, texts and templates",
      "class { a() { return `${{}}}` + '}' } #b = 1 }",
      "#b",
    ],
    [
      "behind a regular expression with quotes and braces",
      "class { a(t) { return /[\"'`{]/.test(t) } #b = 1 }",
      "#b",
    ],
    ["behind divisions", "class { a(t) { return t / 2 / (4 / t) } #b = 1 }", "#b"],
    ["behind a heritage with braces", "class extends (class { x = {} }) { #b = 1 }", "#b"],
    ["behind a nested template", "class { a(t) { return `a${t ? `{${t}` : '`'}b` } #b = 1 }", "#b"],
  ])("%s", (_, text, name) => {
    expect(findPrivateField(parse(text))).toBe(name)
  })

  it("in a class that is extended", () => {
    class Base {
      #secret = 1
      read(): number {
        return this.#secret
      }
    }
    class Extended extends Base {}
    expect(findPrivateField(Extended)).toBe("#secret")
  })

  it("in what compilers make of it for older targets", () => {
    const typescript = "class A { constructor() { _A_instances.add(this); _A_balance.set(this, 0) } }"
    const esbuild =
      "class A { constructor() { __privateAdd(this, _A_instances); __privateAdd(this, _b, 0) } }"
    const oxc =
      "class A { constructor() { _classPrivateMethodInitSpec(this, _brand); _classPrivateFieldInitSpec(this, _b, 0) } }"
    const swc =
      "class A { constructor() { _class_private_field_init(this, _b, { writable: true, value: 0 }) } }"
    expect([typescript, esbuild, oxc, swc].map((text) => findPrivateField(parse(text)))).toEqual([
      "_A_balance",
      "_b",
      "_b",
      "_b",
    ])
    expect(findPrivateField(parse("class A { constructor() { kept.set(this, 1) } }"))).toBe("kept")
  })
})

describe("no #private field is found", () => {
  it.each([
    [
      "in #private methods and accessors",
      "class { #m() {} get #g() { return 1 } set #g(v) {} async #a() {} *#y() {} }",
    ],
    ["in uses", "class { add() { this.#m(); return this . #m } static is(o) { return #m in o } #m() {} }"],
    ["in a use by a field", "class { total = this.#m(); other = (o) => #m in o; #m() { return 1 } }"],
    ["in comments", "class { /* #a = 1; */ value = 0 // was #b = 2;\n }"],
    ["in texts", "class { a = '#a = 1;'; b = \" #b;\"; c = ` #c = 3;` }"],
    ["in regular expressions", "class { a(t) { return t.replace(/{ #a = 1;/g, '') } b = / #b;/ }"],
    ["that is static: it is no state", "class { static #limit = 5; add() {} }"],
    [
      "in a class that a method makes",
      "class { add() { class Helper { #x = 1 } return new Helper() !== 1 } }",
    ],
    [
      "in what compilers make of #private methods",
      "class { constructor() { _A_instances.add(this); __privateAdd(this, _a) } }",
    ],
    ["in a map that is a field", "class { peers = new Map(); add(k, v) { this.peers.set(this.key, v) } }"],
  ])("%s", (_, text) => {
    expect(findPrivateField(parse(text))).toBeUndefined()
  })
})
