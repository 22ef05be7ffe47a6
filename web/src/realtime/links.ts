import { UNSEEN } from "./strangers";

export type TextPart = {
  text: string;
  href: string | null;
  /** What a link is shown as where the text would be taken for another address. */
  shown?: string;
};

const LINKS = 100;

// No quotes, brackets or what cannot be seen, which could make a link read as another one. What `?` adds to a mail's
// address (more receivers, a text) nobody sees before the mail is there.
const INSIDE = `[^\\s<>"'\`\\\\${UNSEEN}]`;
const IN_MAIL = `(?:(?![?@])${INSIDE})`;
// An address is as long as RFC 5321 lets it be: "mailto:mailto:..." would be looked through anew from each beginning.
const CANDIDATE = new RegExp(`\\bhttps?://${INSIDE}+|\\bmailto:(?!/)${IN_MAIL}{1,64}@${IN_MAIL}{1,255}`, "giu");
const CLOSING: Readonly<Record<string, string>> = { ")": "(", "]": "[", "}": "{" };

/** Splits text into plain parts and links, a hundred at most. The parts' texts joined are the text again. */
export function linkify(text: string): TextPart[] {
  const parts: TextPart[] = [];
  let from = 0;
  let links = 0;
  for (const match of text.matchAll(CANDIDATE)) {
    const written = trimmed(match[0]);
    const link = checked(written);
    if (link === null) continue;
    if (match.index > from) parts.push({ text: text.slice(from, match.index), href: null });
    parts.push({ text: written, ...link });
    from = match.index + written.length;
    links += 1;
    if (links >= LINKS) break;
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

function checked(written: string): { href: string; shown?: string } | null {
  let url: URL;
  try {
    url = new URL(written);
  } catch {
    return null;
  }
  if (url.protocol === "mailto:") return { href: url.href };
  if (url.protocol !== "https:" && url.protocol !== "http:") return null;
  // "https://bank.example@evil.example": what stands before the @ is taken for the host, and good for nothing else.
  if (url.username !== "" || url.password !== "") return null;
  const host = /^[^:]*:\/\/([^/?#]*)/u.exec(written)?.[1] ?? "";
  if (host.toLowerCase() === url.host || isReadable(host)) return { href: url.href };
  const rest = written.slice(written.indexOf(":") + "://".length + host.length);
  return { href: url.href, shown: host === "" ? url.href : `${url.protocol}//${url.host}${rest}` };
}

// Of Latin those letters that are not taken for others: not the dotless i, nor what lies beyond the European languages.
const LATIN = "a-z\\u00df-\\u00f6\\u00f8-\\u0130\\u0132-\\u0137\\u0139-\\u017e";
const SCRIPTS = [
  ...["Arabic", "Armenian", "Bengali", "Cyrillic", "Devanagari", "Ethiopic", "Georgian", "Greek", "Gujarati", "Gurmukhi"],
  ...["Hebrew", "Kannada", "Khmer", "Lao", "Malayalam", "Myanmar", "Sinhala", "Tamil", "Telugu", "Thai"],
].map((script) => `\\p{Script=${script}}\\p{Mn}\\p{Mc}`);
const EASTERN = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Bopomofo}\\p{Script=Hangul}\\u30fc";
const ONE_SCRIPT = [LATIN, EASTERN, ...SCRIPTS].map((letters) => new RegExp(`^[${letters}0-9.-]+(?::[0-9]+)?$`, "u"));

/**
 * Is a host in the letters of another script what it seems to be? Only if all of it, the last name too, is of one script
 * and nothing in it stands for something else; otherwise it is shown as the browser asks for it (xn--...).
 */
function isReadable(host: string): boolean {
  const plain = /^[\u0000-\u007f]*$/u.test(host); // another spelling of a number, a port that is left out
  return !plain && host === host.toLowerCase().normalize("NFKC") && ONE_SCRIPT.some((script) => script.test(host));
}
