/** A place in a room's log. Offsets of two epochs say nothing about each other. */
export interface Position {
  readonly epoch: string;
  readonly offset: number;
}

export function parsePosition(text: unknown): Position | null {
  if (typeof text !== "string") return null;
  // The epoch is the server's own and may hold a dot; the offset cannot.
  const dot = text.lastIndexOf(".");
  const digits = text.slice(dot + 1);
  if (dot < 1 || !/^\d{1,15}$/.test(digits)) return null;
  return { epoch: text.slice(0, dot), offset: Number(digits) };
}
