/** What a moderator does to people and to the room: asks the server, which decides, and tells everybody whom it concerns. */
import { asked, type ChangerPorts } from "./changer";
import { Finder } from "./finder";
import type { Kind, RoomSettings, Sanction } from "./wire";
import { parseBans } from "./wire";

export interface ModeratorPorts extends ChangerPorts {
  changed(): void;
}

export interface Act {
  readonly what: "kick" | "mute" | "ban";
  readonly user: string;
  /** Null: a ban for good; of no concern to a kick. */
  readonly seconds: number | null;
}

export class Moderator {
  /** Who is banned, or muted: what is asked for is which of the two. */
  readonly sanctions: Finder<Sanction, string>;

  constructor(private readonly ports: ModeratorPorts) {
    const list = (kind: Kind, after: string | null) => ports.request("bans", { kind, ...(after !== null && { after }) });
    this.sanctions = new Finder(async (kind, after) => parseBans(await list(kind as Kind, after)), () => ports.changed());
  }

  /** Each answers whether it was done; if it was not, a notice says why. */
  act({ what, user, seconds }: Act): Promise<boolean> {
    const { request } = this.ports;
    return asked(this.ports, () => {
      if (what === "kick") return request("kick", { user });
      if (what === "mute") return request("mute", { user, seconds: seconds ?? 0 });
      return request("ban", { user, ...(seconds !== null && { seconds }) });
    });
  }

  async lift(kind: Kind, user: string): Promise<boolean> {
    const done = await asked(this.ports, () => this.ports.request(kind === "ban" ? "unban" : "unmute", { user }));
    // Also where it could not be lifted: it may be over by itself.
    if (this.sanctions.view.query === kind) void this.sanctions.find(kind);
    return done;
  }

  /** Only what differs is set: what the configuration says goes on to hold for the rest. */
  set(now: RoomSettings, wanted: RoomSettings): Promise<boolean> {
    const changes = {
      ...(wanted.topic !== now.topic && { topic: wanted.topic }),
      ...(wanted.slowMode !== now.slowMode && { slow_mode: wanted.slowMode }),
      ...(wanted.readOnly !== now.readOnly && { read_only: wanted.readOnly }),
    };
    return asked(this.ports, () => this.ports.request("settings", changes));
  }
}
