export interface Backoff {
  readonly first: number;
  readonly most: number;
}

export const RESEND: Backoff = { first: 1_000, most: 30_000 };

/**
 * Milliseconds to wait before attempt number `attempt` (the first repeat is 1). The jitter only lengthens: the server's
 * retry_after is a promise that an earlier attempt is refused again.
 */
export function delay(attempt: number, random: number, retryAfter: number | null = null, backoff = RESEND): number {
  const doubled = Math.min(backoff.most, backoff.first * 2 ** Math.min(attempt - 1, 16));
  return Math.round(Math.max(doubled, (retryAfter ?? 0) * 1_000) * (1 + random * 0.25));
}
