/** What strangers write, made safe to look at: nothing turns the reading direction, hides, or paints over its neighbours. */

const NAME_LENGTH = 128;
const TOPIC_LENGTH = 512;
const EMOJI_LENGTH = 32;
const LINE_LENGTH = 10_000;
/** More of them than any living script puts on a letter, and too few to reach the next line. */
const MARKS_ON_A_LETTER = 4;
const MARKED = 1_000;

// Letters and marks by Unicode's file that show as nothing: fillers, variation selectors, the empty Braille pattern.
const BLANKS = "\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180b-\\u180f\\u2800\\u3164\\ufe00-\\ufe0f\\uffa0\\u{e0100}-\\u{e01ef}";
/** For a character class: everything that cannot be seen, spaces aside. */
export const UNSEEN = `\\p{C}${BLANKS}`;

const UNSEEN_IN_NAMES = new RegExp(`[${UNSEEN}]`, "gu");
const MANY_MARKS = new RegExp(`([\\p{Mn}\\p{Me}]{${MARKS_ON_A_LETTER}})[\\p{Mn}\\p{Me}]+`, "gu");
const LOOSE_MARKS = /(^| )[\p{Mn}\p{Me}]+/gu;

/**
 * A name as the server would have cleaned it. Not every name has passed the server's own door: other programs may emit
 * into a room. Empty when nothing is left.
 */
export function plainName(text: string): string {
  return plain(text, NAME_LENGTH);
}

/** The topic of a room, on one line. */
export function plainTopic(text: string): string {
  return plain(text, TOPIC_LENGTH);
}

/** As much of a text as is searched, on one line. */
export function plainLine(text: string): string {
  return plain(text, LINE_LENGTH);
}

/** The same text, or null if it hides something. What emoji are put together with cannot be seen, and belongs to them. */
export function plainEmoji(text: string): string | null {
  const signs = text.replace(/[\u200d\ufe0e\ufe0f]|[\u{e0020}-\u{e007f}]/gu, "");
  return [...text].length <= EMOJI_LENGTH && signs !== "" && plainName(signs) === signs.normalize("NFC") ? text : null;
}

function plain(text: string, length: number): string {
  const words = text.slice(0, 4 * length).replace(/[^\S\ufeff]+/gu, " ").replace(UNSEEN_IN_NAMES, "").normalize("NFC");
  const seen = words.replace(LOOSE_MARKS, "$1").replace(MANY_MARKS, "$1").trim();
  return [...seen].slice(0, length).join("").trimEnd();
}

export interface Piece {
  readonly text: string;
  /** What to show in place of a character that cannot be seen; null: the text can be. */
  readonly mark: string | null;
}

// Controls but for tabs and line ends; what embeds, overrides or isolates a reading direction; spaces without width. The
// marks that only hint at a direction, and the joiners of scripts and emoji, are part of honest texts.
const HIDDEN =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u180e\u200b\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/** Splits text where characters hide in it. The pieces joined are the text again, but for a flood of such characters. */
export function pieces(text: string): Piece[] {
  const found: Piece[] = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    if (found.length >= 2 * MARKED) {
      found.push({ text: text.slice(from).replace(HIDDEN, "\ufffd"), mark: null });
      return found;
    }
    if (match.index > from) found.push({ text: text.slice(from, match.index), mark: null });
    found.push({ text: match[0], mark: `U+${match[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")}` });
    from = match.index + match[0].length;
  }
  if (from < text.length) found.push({ text: text.slice(from), mark: null });
  return found;
}

const SHOWN = 10_000;
const SHOWN_LINES = 200;

/** Where to cut a text that would fill the page or stop the browser; its length if it need not be cut. */
export function cutAt(text: string): number {
  let end = Math.min(text.length, SHOWN);
  let line = -1;
  for (let lines = 0; lines < SHOWN_LINES; lines += 1) {
    line = text.indexOf("\n", line + 1);
    if (line < 0 || line >= end) break;
  }
  if (line >= 0 && line < end) end = line;
  const half = end < text.length && /[\ud800-\udbff]/.test(text.charAt(end - 1));
  return half ? end - 1 : end;
}
