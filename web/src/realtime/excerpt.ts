/** What to show of a message that was found: the words around the first that was looked for. */
import { bodyText } from "./body";
import { plainLine } from "./strangers";

const BEFORE = 40;
const LENGTH = 160;

export interface Part {
  readonly text: string;
  /** It is what was looked for. */
  readonly hit: boolean;
}

export function excerpt(body: unknown, query: string): Part[] {
  const line = plainLine(bodyText(body));
  const sought = terms(query);
  // Longest first: of "tea teapot" the whole teapot is marked.
  const pattern = sought.length > 0 ? new RegExp(sought.sort((a, b) => b.length - a.length).map(literal).join("|"), "giu") : /(?!)/gu;
  // What the server compares in another form (full-width letters) is not found here, and then shown from its beginning.
  const first = line.search(pattern);
  const from = whole(line, Math.max(0, first - BEFORE));
  const to = whole(line, Math.min(line.length, from + LENGTH));
  const shown = line.slice(from, to);
  const parts: Part[] = from > 0 ? [{ text: "…", hit: false }] : [];
  let done = 0;
  for (const { index, 0: text } of shown.matchAll(pattern)) {
    if (index > done) parts.push({ text: shown.slice(done, index), hit: false });
    parts.push({ text, hit: true });
    done = index + text.length;
  }
  if (done < shown.length) parts.push({ text: shown.slice(done), hit: false });
  if (to < line.length) parts.push({ text: "…", hit: false });
  return parts;
}

/** As the server reads a query: words, and "phrases". */
function terms(query: string): string[] {
  return [...query.matchAll(/"([^"]*)"?|([^\s"]+)/gu)].map(([, phrase, word]) => (phrase ?? word ?? "").trim()).filter((term) => term !== "");
}

function literal(term: string): string {
  return term.replace(/[\\^$.*+?()[\]{}|/-]/gu, "\\$&").replace(/\s+/gu, " ");
}

/** Not in the middle of a character. */
function whole(text: string, at: number): number {
  return /[\udc00-\udfff]/.test(text.charAt(at)) && at > 0 ? at - 1 : at;
}
