export type TextPart = { text: string; href: string | null };

// No quotes, brackets or controls; no bidirectional or zero-width marks, which could make a link read as another one.
const CANDIDATE = /\bhttps?:\/\/[^\s<>"'`\\\u0000-\u001f\u007f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/giu;
const CLOSING: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };

/** Splits text into plain parts and http(s) links. The parts joined are the text again. */
export function linkify(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let from = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const shown = trimmed(match[0]);
    const href = checked(shown);
    if (href === null) continue;
    if (match.index > from) parts.push({ text: text.slice(from, match.index), href: null });
    parts.push({ text: shown, href });
    from = match.index + shown.length;
  }
  if (from < text.length || parts.length === 0) parts.push({ text: text.slice(from), href: null });
  return parts;
}

/** Without the punctuation of the sentence around it; a bracket stays if it was opened inside. */
function trimmed(url: string): string {
  let end = url.length;
  // Counted once: counting for each of many closing brackets would be quadratic in what a stranger sends.
  const balance: Record<string, number> = {};
  for (const char of url) balance[char] = (balance[char] ?? 0) + 1;
  while (end > 0) {
    const last = url[end - 1]!;
    const opener = CLOSING[last];
    const unbalanced = opener !== undefined && (balance[last] ?? 0) > (balance[opener] ?? 0);
    if (!unbalanced && !".,:;!?*_~".includes(last)) break;
    if (opener !== undefined) balance[last] = (balance[last] ?? 1) - 1;
    end -= 1;
  }
  return url.slice(0, end);
}

function checked(candidate: string): string | null {
  try {
    const url = new URL(candidate);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}
