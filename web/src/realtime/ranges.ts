/** Sets of offsets as sorted, disjoint, inclusive ranges that do not touch. Every function leaves its input as it was. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export function union(ranges: readonly Range[], added: Range): Range[] {
  if (added.to < added.from) return [...ranges];
  const before: Range[] = [];
  const after: Range[] = [];
  let { from, to } = added;
  for (const range of ranges) {
    if (range.to < from - 1) before.push(range);
    else if (range.from > to + 1) after.push(range);
    else {
      from = Math.min(from, range.from);
      to = Math.max(to, range.to);
    }
  }
  return [...before, { from, to }, ...after];
}

export function subtract(ranges: readonly Range[], removed: Range): Range[] {
  if (removed.to < removed.from) return [...ranges];
  return ranges
    .flatMap((range) => [
      { from: range.from, to: Math.min(range.to, removed.from - 1) },
      { from: Math.max(range.from, removed.to + 1), to: range.to },
    ])
    .filter((part) => part.from <= part.to);
}

export function intersect(ranges: readonly Range[], window: Range): Range[] {
  return ranges
    .map((range) => ({ from: Math.max(range.from, window.from), to: Math.min(range.to, window.to) }))
    .filter((part) => part.from <= part.to);
}

/** What of `window` is in none of the ranges. */
export function holes(ranges: readonly Range[], window: Range): Range[] {
  const found: Range[] = [];
  let next = window.from;
  for (const range of intersect(ranges, window)) {
    if (range.from > next) found.push({ from: next, to: range.from - 1 });
    next = range.to + 1;
  }
  if (next <= window.to) found.push({ from: next, to: window.to });
  return found;
}

export function size(range: Range): number {
  return range.to - range.from + 1;
}
