/** Notices in words for users; the server's own are for authors of clients. */
import type { Notice, Refusal, ServerNotice } from "./wire";

export function worded({ code, message, expiresIn }: ServerNotice): Notice {
  if (code !== "token_expiring" || expiresIn === null) return { code, message };
  const seconds = Math.round(expiresIn);
  const left = seconds < 120 ? `${seconds} ${seconds === 1 ? "second" : "seconds"}` : `${Math.round(seconds / 60)} minutes`;
  return { code, message: `Your token expires in ${left}. Open this page with a fresh one to stay in the room.` };
}

/** Why a question was not answered; null: nothing came back. */
export function kindly(refusal: Refusal | null): string {
  if (refusal === null) return "No answer came.";
  if (!refusal.temporary) return refusal.message;
  const seconds = Math.ceil(refusal.retryAfter ?? 0);
  const when = seconds > 1 && seconds < 120 ? `in ${seconds} seconds` : "in a moment";
  return refusal.code === "rate_limited" ? `That was a bit too fast. It goes on ${when}.` : `The server cannot answer just now. It may ${when}.`;
}
