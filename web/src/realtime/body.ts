/** The text that stands for a message's body; a body may be any JSON value or binary. */
export function bodyText(body: unknown): string {
  if (typeof body === "string") return body;
  const bytes = byteLength(body);
  if (bytes !== null) return bytesText(bytes);
  return JSON.stringify(body, (_key, value: unknown) => {
    const nested = byteLength(value);
    return nested === null ? value : bytesText(nested);
  }) ?? "null";
}

export function isPlainText(body: unknown): body is string {
  return typeof body === "string";
}

function byteLength(value: unknown): number | null {
  if (value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return value.byteLength;
  return typeof Blob !== "undefined" && value instanceof Blob ? value.size : null;
}

function bytesText(bytes: number): string {
  return `[${bytes} ${bytes === 1 ? "byte" : "bytes"}]`;
}
