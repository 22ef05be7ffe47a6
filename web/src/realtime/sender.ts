/** Empties the outbox into the room, one message at a time. */
import type { Request } from "./link";
import type { Entry, Outbox } from "./outbox";
import { parseSent } from "./wire";

export interface SenderPorts {
  readonly outbox: Outbox;
  readonly request: Request;
  isLive(): boolean;
  now(): number;
  random(): number;
  changed(): void;
}

export class Sender {
  private timer: ReturnType<typeof setTimeout> | undefined;
  /** Answers of an earlier connection must not touch what the present one has under way. */
  private connection = 0;

  constructor(private readonly ports: SenderPorts) {}

  reconnected(): void {
    this.connection += 1;
    this.ports.outbox.reconnected();
    this.pump();
  }

  stop(): void {
    clearTimeout(this.timer);
  }

  pump(): void {
    clearTimeout(this.timer);
    if (!this.ports.isLive()) return;
    const now = this.ports.now();
    const next = this.ports.outbox.next(now);
    if (next === null) return;
    if ("waitUntil" in next) this.timer = setTimeout(() => this.pump(), next.waitUntil - now);
    else void this.send(next.send);
  }

  private async send({ id, body, replyTo, mentions }: Entry): Promise<void> {
    const { outbox, request, now, random, changed } = this.ports;
    const connection = this.connection;
    outbox.begin(id);
    const extras = { ...(replyTo !== undefined && { reply_to: replyTo }), ...(mentions && { mentions }) };
    const answer = parseSent(await request("message", body, { id, ...extras }).catch(() => null));
    if (answer?.ok) outbox.taken(id, answer.value.offset);
    else if (connection !== this.connection) return;
    else if (answer) outbox.refused(id, answer.error, now(), random());
    else outbox.unanswered(id, now(), random());
    changed();
    this.pump();
  }
}
