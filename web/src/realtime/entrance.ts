/** How a user comes in: what the address says, and what this browser remembers. */
import type { Transport } from "./connection";
import type { KeyValues } from "./storage";

export interface Address {
  readonly room: string | null;
  readonly token: string | null;
  /** For looking at one transport alone, `?transport=polling`. */
  readonly transports: readonly Transport[] | null;
  /** The address without the token, to be shown in its place. */
  readonly clean: string;
}

export function readAddress(href: string): Address {
  const url = new URL(href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token");
  const room = fragment.get("room") ?? url.searchParams.get("room");
  const transport = url.searchParams.get("transport");
  if (token !== null || fragment.has("room")) url.hash = "";
  if (room) url.searchParams.set("room", room);
  return {
    room: room ? roomName(room) : null,
    token: token || null,
    transports: transport === "polling" || transport === "websocket" ? [transport] : null,
    clean: url.href,
  };
}

export function withRoom(href: string, room: string | null): string {
  const url = new URL(href);
  if (room === null) url.searchParams.delete("room");
  else url.searchParams.set("room", room);
  return url.href;
}

/** The path of the page's directory. */
export function basePath(pathname: string): string {
  return pathname.slice(0, pathname.lastIndexOf("/") + 1) || "/";
}

/** Where Socket.IO is, for the page at this path: below its directory, and where the server has written it into the page (`server.path`). */
export function socketPath(pathname: string, told: string | null | undefined): string {
  return basePath(pathname) + (told || "socket.io");
}

/** The transports that the server has, as it has written them into the page; null: all that there are. */
export function transportsTold(told: string | null | undefined): readonly Transport[] | null {
  const found = (["polling", "websocket"] as const).filter((name) => told?.split(" ").includes(name));
  return found.length > 0 ? found : null;
}

export function roomName(text: string): string {
  return text.normalize("NFC").trim().replace(/^\/+/, "");
}

/** How the names of rooms of two begin; behind it stands the other user's id. */
const DIRECT = "@dm/";

export function directRoom(user: string): string {
  return DIRECT + user;
}

/** The other user's id, if it is a room of two. */
export function otherOf(room: string): string | null {
  return room.startsWith(DIRECT) ? room.slice(DIRECT.length) : null;
}

/** The room that the server calls so: what it says of rooms of two has the ids percent-encoded. */
export function roomCalled(name: string): string {
  const other = otherOf(name);
  if (other === null) return name;
  try {
    return directRoom(decodeURIComponent(other));
  } catch {
    return name;
  }
}

/** The Socket.IO namespace of a room. */
export function namespaceOf(room: string): string {
  const other = otherOf(room);
  return other === null ? `/${room}` : `/${DIRECT}${encodeURIComponent(other)}`;
}

/** Why this cannot be a room's name; null: it may. The server has the last word. */
export function roomFault(room: string): string | null {
  if (room === "") return "Choose a room.";
  if ([...room].length > 128) return "A room's name has at most 128 characters.";
  if (room.startsWith(DIRECT) && room !== DIRECT) return null;
  if (room.startsWith("@")) return "Names that begin with @ are reserved.";
  if (!/^[\p{L}\p{M}\p{N}_.:\-/]+$/u.test(room)) return "A room's name has letters, digits and _ . : - / only.";
  return null;
}

/** The user a token names; null if it names none. Not a check of any kind: it only keeps users' outboxes apart. */
export function tokenSubject(token: string): string | null {
  try {
    const payload = token.split(".")[1] ?? "";
    const bytes = Uint8Array.from(atob(payload.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    const subject = (claims as { sub?: unknown } | null)?.sub;
    return typeof subject === "string" && subject !== "" ? subject : null;
  } catch {
    return null;
  }
}

/** `crypto.randomUUID` exists in secure contexts only; a page in a home network is often none. */
export function newId(source: Crypto = crypto): string {
  if (typeof source.randomUUID === "function") return source.randomUUID();
  const bytes = source.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** What a browser (`local`) and a tab (`tab`) remember. The token stays in the tab. */
export class Memory {
  constructor(
    private readonly local: KeyValues,
    private readonly tab: KeyValues,
    private readonly id: () => string = newId,
  ) {}

  get user(): string {
    const known = this.local.getItem("sioserver.user");
    if (known) return known;
    const user = this.id();
    write(this.local, "sioserver.user", user);
    return user;
  }

  get name(): string {
    return this.local.getItem("sioserver.name") ?? "";
  }

  set name(name: string) {
    write(this.local, "sioserver.name", name);
  }

  get lastRoom(): string {
    return this.local.getItem("sioserver.room") ?? "";
  }

  get token(): string | null {
    return this.tab.getItem("sioserver.token");
  }

  set token(token: string | null) {
    write(this.tab, "sioserver.token", token);
  }

  /** The room this tab is in, so that a reload goes back to it. */
  get joined(): string | null {
    return this.tab.getItem("sioserver.joined");
  }

  set joined(room: string | null) {
    write(this.tab, "sioserver.joined", room);
    if (room !== null) write(this.local, "sioserver.room", room);
  }
}

function write(storage: KeyValues, key: string, value: string | null): void {
  try {
    if (value === null) storage.removeItem(key);
    else storage.setItem(key, value);
  } catch {
    // A full store: the page works, it only forgets on reload.
  }
}
