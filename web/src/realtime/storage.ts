import type { OutboxStore, StoredEntry } from "./outbox";
import { parseRefusal } from "./wire";

/** The part of the browser's Storage that is used here. */
export type KeyValues = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export class MemoryStorage implements KeyValues {
  private readonly values = new Map<string, string>();

  get length(): number {
    return this.values.size;
  }

  key(index: number): string | null {
    return [...this.values.keys()][index] ?? null;
  }

  getItem(key: string): string | null {
    return this.values.get(key) ?? null;
  }

  setItem(key: string, value: string): void {
    this.values.set(key, value);
  }

  removeItem(key: string): void {
    this.values.delete(key);
  }
}

/** Private modes and blocked cookies make the mere access throw; the page then works until the tab is closed. */
export function usable(open: () => KeyValues): KeyValues {
  try {
    const storage = open();
    storage.setItem("sioserver.probe", "1");
    storage.removeItem("sioserver.probe");
    return storage;
  } catch {
    return new MemoryStorage();
  }
}

function parseEntry(id: string, json: string | null): StoredEntry | null {
  try {
    const entry: unknown = JSON.parse(json ?? "null");
    if (typeof entry !== "object" || entry === null) return null;
    const { body, at, error, replyTo, mentions: names } = entry as Record<string, unknown>;
    if (typeof body !== "string" || typeof at !== "number") return null;
    const refusal = parseRefusal(error);
    const mentions = Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
    const extras = { ...(typeof replyTo === "number" && { replyTo }), ...(mentions.length > 0 && { mentions }) };
    return { id, body, at, error: refusal, ...extras };
  } catch {
    return null;
  }
}

export function outboxStore(storage: KeyValues, room: string, user: string): OutboxStore {
  const prefix = `sioserver.outbox ${encodeURIComponent(room)} ${encodeURIComponent(user)} `;
  return {
    load() {
      const keys = Array.from({ length: storage.length }, (_, index) => storage.key(index));
      return keys
        .filter((key) => key !== null && key.startsWith(prefix))
        .map((key) => parseEntry(key!.slice(prefix.length), storage.getItem(key!)))
        .filter((entry) => entry !== null);
    },
    put({ id, ...entry }) {
      try {
        storage.setItem(prefix + id, JSON.stringify(entry));
      } catch {
        // The store is full: the message is still sent, it only would not survive a reload.
      }
    },
    remove(id) {
      storage.removeItem(prefix + id);
    },
  };
}
