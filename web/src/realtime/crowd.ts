/** Who is in the room: counts, names, and the lines about who came and left. */
import type { Request } from "./link";
import { noted, type Note } from "./notes";
import { changed, counted, listed, nobody, type Presence } from "./presence";
import { parseEverybody, parseMembers, type PresenceDiff, type User, type Welcome } from "./wire";

/** People who are remembered beside those who are here. */
const MET = 2_000;

export interface CrowdPorts {
  readonly request: Request;
  top(): number;
  now(): number;
  changed(): void;
}

export class Crowd {
  presence: Presence = nobody;
  notes: readonly Note[] = [];
  /** Members who were listed, here or not. */
  private members: ReadonlyMap<string, User> = new Map();
  private listing = false;
  private met: { members: object; present: object; people: readonly User[] } | null = null;

  constructor(private readonly ports: CrowdPorts) {}

  /** Whom the room knows: who is here, and the members, once they were asked for. */
  get people(): readonly User[] {
    const { members, met } = this;
    const present = this.presence.people;
    if (met?.members === members && met.present === present) return met.people;
    const people = [...new Map([...members, ...present]).values()];
    this.met = { members, present, people };
    return people;
  }

  /** Ask for the members, if that was not done since the welcome. */
  async meet(): Promise<void> {
    if (this.listing) return;
    this.listing = true;
    const answer = parseEverybody(await this.ports.request("members", { all: true }).catch(() => null));
    this.listing = answer !== null && (answer.ok || !answer.error.temporary);
    if (!answer?.ok) return;
    this.members = new Map(answer.value.map((user) => [user.id, user]));
    this.ports.changed();
  }

  welcomed(welcome: Welcome): void {
    this.listing = false;
    this.presence = counted(this.presence, welcome.online, welcome.total);
    void this.list();
  }

  diff(diff: PresenceDiff, me: string): void {
    this.presence = changed(this.presence, diff);
    // Who came after the list was read may be named when they have left again.
    if (this.listing && this.members.size < MET) this.members = new Map([...this.members, ...diff.joined.map((user) => [user.id, user] as const)]);
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
