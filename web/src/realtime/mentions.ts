/** The messages that name the user, in all rooms, and which of them the user has not seen, as the session tells it. */
import type { Ask } from "./link";
import * as wire from "./wire";

/** As many as the server keeps. */
const KEPT = 200;

export interface MentionsPorts {
  readonly ask: Ask;
  changed(): void;
}

export interface Naming extends wire.Mention {
  readonly fresh: boolean;
}

export class Mentions {
  /** The older ones could not be listed. */
  failed = false;
  private known: readonly wire.Mention[] = [];
  /** How many of a room lie behind what the user has read there: the newest so many. */
  private unseen = new Map<string, number>();

  constructor(private readonly ports: MentionsPorts) {}

  /** Newest first. In the room that is open it is known better what was read: all up to `readTo`. */
  list(open: string, readTo: number): Naming[] {
    const left = new Map(this.unseen);
    return this.known.map((mention) => {
      const count = left.get(mention.room) ?? 0;
      left.set(mention.room, count - 1);
      return { ...mention, fresh: count > 0 && !(mention.room === open && mention.offset <= readTo) };
    });
  }

  /** True if anything has changed. */
  take(name: string, value: unknown): boolean {
    if (name === "welcome") return this.welcomed(value);
    if (name === "mention") return this.came(value);
    if (name === "room_left") return this.left(value);
    if (name !== "unread" && name !== "room_joined") return false;
    const standing = wire.parseStanding(value);
    const count = standing ? (this.unseen.get(standing.room) ?? 0) : 0;
    if (!standing || count <= standing.unread) return false;
    this.unseen.set(standing.room, standing.unread);
    return true;
  }

  async load(): Promise<void> {
    const mentions = wire.parseMentions(await this.ports.ask("mentions").catch(() => null));
    this.failed = !mentions?.ok;
    if (mentions?.ok) this.add(mentions.value);
    this.ports.changed();
  }

  private welcomed(value: unknown): boolean {
    const rooms = wire.parseMyRooms(value);
    if (rooms === null) return false;
    this.unseen = new Map(rooms.map(({ room, mentions }) => [room, mentions]));
    void this.load();
    return true;
  }

  private came(value: unknown): boolean {
    const mention = wire.parseMention(value);
    if (mention === null || this.known.some(({ number }) => number === mention.number)) return false;
    this.unseen.set(mention.room, (this.unseen.get(mention.room) ?? 0) + 1);
    this.add([mention]);
    return true;
  }

  private left(value: unknown): boolean {
    const room = wire.parseRoomLeft(value);
    const before = this.known.length;
    this.known = this.known.filter((mention) => mention.room !== room);
    return this.known.length < before;
  }

  private add(mentions: readonly wire.Mention[]): void {
    const byNumber = new Map([...this.known, ...mentions].map((mention) => [mention.number, mention]));
    this.known = [...byNumber.values()].sort((a, b) => b.number - a.number).slice(0, KEPT);
  }
}
