/** Changes what was posted: asks the server, and lets the room tell what has become of it, as it tells everybody. */
import type { Request } from "./link";
import { parseDone, type Answer, type Refusal } from "./wire";

export interface ChangerPorts {
  readonly request: Request;
  isLive(): boolean;
  /** Something could not be done: the user is to know. */
  refused(refusal: Refusal): void;
}

const UNKNOWN: Refusal = {
  code: "no_answer",
  message: "No answer came. If nothing has changed, try again.",
  temporary: true,
  retryAfter: null,
};

export class Changer {
  constructor(private readonly ports: ChangerPorts) {}

  /** Each answers whether it was done. */
  edit(offset: number, body: string): Promise<boolean> {
    return this.ask(() => this.ports.request("edit", { offset, body }));
  }

  remove(offset: number): Promise<boolean> {
    return this.ask(() => this.ports.request("delete", { offset }));
  }

  react(offset: number, emoji: string, on: boolean): Promise<boolean> {
    return this.ask(() => this.ports.request("react", { offset, emoji, on }));
  }

  private ask(request: () => Promise<unknown>): Promise<boolean> {
    return asked(this.ports, request);
  }
}

/** Was it done? If not, the user is told why. */
export async function asked(ports: Pick<ChangerPorts, "isLive" | "refused">, request: () => Promise<unknown>): Promise<boolean> {
  if (!ports.isLive()) return false;
  const answer: Answer<true> | null = parseDone(await request().catch(() => null));
  if (answer?.ok) return true;
  ports.refused(answer?.error ?? UNKNOWN);
  return false;
}
