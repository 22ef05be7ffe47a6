/** The state of the connection as the user should see it: a pure reducer over what the link reports. */
import type { Notice, Refusal } from "./wire";

export type Transport = "websocket" | "polling";

export interface Connection {
  readonly state: "connecting" | "live" | "reconnecting" | "closed";
  readonly transport: Transport | null;
  /** Of the latest connect: true if nothing was missed. Null before the first return. */
  readonly recovered: boolean | null;
  readonly attempt: number;
  /** Closed by a refusal of the connect: the way in was wrong, not the stay. */
  readonly refused: boolean;
  /** Why it is closed, or why the server wants us to wait. */
  readonly reason: Notice | null;
}

export type ConnectionEvent =
  | { type: "open" }
  | { type: "transport"; name: Transport }
  | { type: "welcome"; recovered: boolean }
  | { type: "lost" }
  | { type: "attempt"; number: number }
  | { type: "refused"; refusal: Refusal }
  | { type: "farewell"; notice: Notice }
  | { type: "ended"; fallback: Notice }
  | { type: "left" };

export const initial: Connection = {
  state: "closed",
  transport: null,
  recovered: null,
  attempt: 0,
  refused: false,
  reason: null,
};

export function reduce(connection: Connection, event: ConnectionEvent): Connection {
  switch (event.type) {
    case "open":
      return { ...initial, state: "connecting" };
    case "transport":
      return { ...connection, transport: event.name };
    case "welcome": {
      const back = connection.state === "reconnecting";
      return { ...connection, state: "live", attempt: 0, reason: null, recovered: back ? event.recovered : null };
    }
    case "lost":
      if (connection.state === "closed") return connection;
      // Before the first welcome there is nothing to go back to: still the first connect.
      return {
        ...connection,
        state: connection.state === "connecting" ? "connecting" : "reconnecting",
        transport: null,
      };
    case "attempt":
      return { ...connection, attempt: event.number };
    case "refused":
      return {
        ...connection,
        state: event.refusal.temporary ? connection.state : "closed",
        transport: null,
        refused: !event.refusal.temporary,
        reason: event.refusal,
      };
    case "farewell":
      return { ...connection, reason: event.notice };
    case "ended":
      return { ...connection, state: "closed", transport: null, reason: connection.reason ?? event.fallback };
    case "left":
      return { ...initial };
  }
}
