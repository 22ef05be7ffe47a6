/** Who is in the room: counts, names, and the lines about who came and left. */
import type { Request } from "./link";
import { noted, type Note } from "./notes";
import { changed, counted, listed, nobody, type Presence } from "./presence";
import { parseMembers, type PresenceDiff, type Welcome } from "./wire";

export interface CrowdPorts {
  readonly request: Request;
  top(): number;
  now(): number;
  changed(): void;
}

export class Crowd {
  presence: Presence = nobody;
  notes: readonly Note[] = [];

  constructor(private readonly ports: CrowdPorts) {}

  welcomed(welcome: Welcome): void {
    this.presence = counted(this.presence, welcome.online, welcome.total);
    void this.list();
  }

  diff(diff: PresenceDiff, me: string): void {
    this.presence = changed(this.presence, diff);
    this.notes = noted(this.notes, diff, me, this.ports.top(), this.ports.now());
  }

  /** The log began anew: the lines are anchored in the old one. */
  forgetNotes(): void {
    this.notes = [];
  }

  private async list(): Promise<void> {
    const answer = parseMembers(await this.ports.request("members", {}).catch(() => null));
    if (!answer?.ok) return;
    this.presence = listed(this.presence, answer.value.online, answer.value.total);
    this.ports.changed();
  }
}
