/** The rooms that the user is a member of, and how much is unread in each, as the session tells it. */
import { otherOf } from "./entrance";
import { plainName } from "./strangers";
import type { Standing } from "./wire";
import * as wire from "./wire";

export class MyRooms {
  private rooms = new Map<string, Standing>();
  private shown: readonly Standing[] = [];

  /** Those with something unread first, then by name. */
  get list(): readonly Standing[] {
    return this.shown;
  }

  /** True if anything has changed. */
  take(name: string, value: unknown): boolean {
    if (name === "welcome") {
      const rooms = wire.parseMyRooms(value);
      if (rooms === null) return false;
      this.rooms = new Map(rooms.map((standing) => [standing.room, standing]));
    } else if (name === "unread" || name === "room_joined") {
      const standing = wire.parseStanding(value);
      if (standing === null) return false;
      this.rooms.set(standing.room, standing);
    } else if (name === "room_left") {
      const room = wire.parseRoomLeft(value);
      if (room === null || !this.rooms.delete(room)) return false;
    } else return false;
    this.shown = [...this.rooms.values()].sort(
      (a, b) => Number(b.unread > 0) - Number(a.unread > 0) || titleOf(a).localeCompare(titleOf(b)),
    );
    return true;
  }
}

/** What to call a room in a list: a room of two by who the other one is. */
export function titleOf({ room, peer }: Pick<Standing, "room" | "peer">): string {
  return peer?.name ?? (plainName(otherOf(room) ?? room) || "?");
}
