/** Notices in words for users; the server's own are for authors of clients. */
import type { Notice, ServerNotice } from "./wire";

export function worded({ code, message, expiresIn }: ServerNotice): Notice {
  if (code !== "token_expiring" || expiresIn === null) return { code, message };
  const seconds = Math.round(expiresIn);
  const left = seconds < 120 ? `${seconds} ${seconds === 1 ? "second" : "seconds"}` : `${Math.round(seconds / 60)} minutes`;
  return { code, message: `Your token expires in ${left}. Open this page with a fresh one to stay in the room.` };
}
