/** The page's policy forbids inline code and markup made of text; here they are not even written. */
import { expect, test } from "vitest";
import page from "../index.html?raw";

const sources = import.meta.glob<string>("../src/**/*.{ts,vue,css}", { query: "?raw", import: "default", eager: true });

const FORBIDDEN: Record<string, RegExp> = {
  "markup from text": /v-html|innerHTML|outerHTML|insertAdjacentHTML|createContextualFragment|DOMParser|srcdoc|document\s*\.\s*write|setHTML/,
  "code from text": /\beval\s*\(|\bFunction\s*\(|\bset(?:Timeout|Interval)\s*\(\s*["'`]|\bimport\s*\(\s*[^"'\s)]|javascript:/,
  "style in markup": /\sstyle\s*=|:style\b|v-bind:style/,
  "a policy of Trusted Types": /trustedTypes|createPolicy/,
  "somebody else's server": /\b(?:src|href)\s*=\s*["'](?:https?:)?\/\/|@import|url\(\s*["']?(?:https?:)?\/\//,
};

function faults(name: string, source: string): string[] {
  return Object.entries(FORBIDDEN).flatMap(([what, pattern]) => {
    const found = pattern.exec(source);
    return found ? [`${name}: ${what}: ${found[0]}`] : [];
  });
}

test("nothing dangerous is written", () => {
  expect(Object.keys(sources).length).toBeGreaterThan(40);
  expect(Object.entries(sources).flatMap(([name, source]) => faults(name, source))).toEqual([]);
});

test("the page itself has neither inline scripts nor styles nor handlers", () => {
  expect(faults("index.html", page)).toEqual([]);
  expect(page).not.toMatch(/<style|\son\w+\s*=|<base|http-equiv/i);
  for (const script of page.match(/<script[^]*?<\/script>/g) ?? []) expect(script).toMatch(/^<script [^>]*src="[^"]+"><\/script>$/);
  expect(page).toContain("<script");
});

test.each([
  '<p v-html="x">',
  "element.innerHTML = x",
  "eval(x)",
  "new Function(x)",
  "setTimeout('x')",
  'setInterval("x", 1)',
  "import(where)",
  '<a href="javascript:x">',
  '<p style="color: red">',
  '<p :style="x">',
  "document.write(x)",
  "trustedTypes.createPolicy('x', {})",
  '<script src="https://cdn.example/x.js">',
  '<img src="//cdn.example/x.png">',
  "background: url(https://cdn.example/x)",
])("%s would be found", (source) => expect(faults("x", source)).not.toEqual([]));
