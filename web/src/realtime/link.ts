/** What a room needs of a connection. The one real link is in socketio.ts; tests bring their own. */
import type { Transport } from "./connection";
import type { RoomRequests, SessionRequests } from "./protocol";
import type { Refusal } from "./wire";

export interface LinkEvents {
  connected(recovered: boolean): void;
  /** The connection broke; the link comes back by itself. */
  lost(): void;
  /** The server ended it; the link does not come back by itself. */
  ended(): void;
  /** The server answered the connect with a refusal; the link does not come back by itself. */
  refused(refusal: Refusal): void;
  attempt(number: number): void;
  transport(name: Transport): void;
  event(name: string, args: readonly unknown[]): void;
  /** An event of the user's own session: what concerns all their rooms. */
  mine(name: string, args: readonly unknown[]): void;
}

/** Rejects when no answer came, for whatever reason: the outcome is then unknown. Never sends later by itself. */
export type Request = <E extends keyof RoomRequests>(event: E, ...args: RoomRequests[E]["arguments"]) => Promise<unknown>;

/** The same in the user's own session. */
export type Ask = <E extends keyof SessionRequests>(event: E, ...args: SessionRequests[E]["arguments"]) => Promise<unknown>;

export interface Link {
  open(): void;
  close(): void;
  readonly request: Request;
  readonly ask: Ask;
}

export type OpenLink = (events: LinkEvents) => Link;
