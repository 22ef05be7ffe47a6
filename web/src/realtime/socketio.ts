/** The only module that knows Socket.IO. */
import { Manager, type Socket } from "socket.io-client";
import type { Transport } from "./connection";
import type { Ask, Link, LinkEvents, OpenLink, Request } from "./link";
import { namespaceOf } from "./entrance";
import { parseRefusal } from "./wire";

export type Auth = { token: string } | { user: string; name: string };

export interface SocketOptions {
  readonly origin: string;
  /** Where Socket.IO is, see `socketPath`. */
  readonly path: string;
  readonly room: string;
  /** Asked before every connect, so that a fresh token is used. */
  readonly auth: () => Auth;
  readonly transports?: readonly Transport[];
}

const ANSWER_WITHIN = 15_000;

export function socketLink(options: SocketOptions): OpenLink {
  return (events) => new SocketLink(options, events);
}

class SocketLink implements Link {
  private readonly manager: Manager;
  private readonly socket: Socket;
  /** The user's session, over the same connection. Where there is none (it was refused), the room goes on without. */
  private readonly session: Socket;

  constructor({ origin, path, room, auth, transports }: SocketOptions, events: LinkEvents) {
    this.manager = new Manager(origin, {
      path,
      autoConnect: false,
      ...(transports && { transports: [...transports] }),
    });
    // Not io(url + room): a room's name may hold what a URL reads as its own syntax.
    this.socket = this.manager.socket(namespaceOf(room), { auth: (send) => send(auth()) });
    this.session = this.manager.socket("/@me", { auth: (send) => send(auth()) });
    this.session.onAny((name: string, ...args: unknown[]) => events.mine(name, args));
    this.followTransport(events);
    this.manager.on("reconnect_attempt", (number) => events.attempt(number));
    this.socket.on("connect", () => {
      events.connected(this.socket.recovered === true);
      // Only after the room: the room is what the user came for, and it says who they are.
      if (!this.session.active) this.session.connect();
    });
    this.socket.on("connect_error", (error) => {
      // While the socket is active the manager tries again by itself: the server was not reached.
      if (this.socket.active) events.lost();
      else events.refused(refusalOf(error));
    });
    this.socket.on("disconnect", (reason) => {
      if (reason === "io server disconnect") events.ended();
      else if (reason !== "io client disconnect") events.lost();
    });
    this.socket.onAny((name: string, ...args: unknown[]) => events.event(name, args));
  }

  open(): void {
    this.socket.connect();
  }

  close(): void {
    this.session.disconnect();
    this.socket.disconnect();
  }

  readonly request: Request = (event, ...args) => emit(this.socket, event, args);

  readonly ask: Ask = (event, ...args) => emit(this.session, event, args);

  private followTransport(events: LinkEvents): void {
    this.manager.on("open", () => {
      const engine = this.manager.engine;
      const tell = (): void => {
        const name = engine.transport.name;
        if (name === "websocket" || name === "polling") events.transport(name);
      };
      tell();
      engine.on("upgrade", tell);
    });
  }
}

async function emit(socket: Socket, event: string, args: readonly unknown[]): Promise<unknown> {
  // Socket.IO would keep the packet and send it after the return, in an order of its own.
  if (!socket.connected) throw new Error("not connected");
  return socket.timeout(ANSWER_WITHIN).emitWithAck(event, ...args);
}

function refusalOf(error: Error & { data?: unknown }) {
  const fallback = { code: "refused", message: error.message, temporary: false, retryAfter: null };
  return parseRefusal(error.data) ?? fallback;
}
