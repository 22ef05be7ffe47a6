/** What goes into a session, and what the page shows of it. */
import type { Connection } from "./connection";
import type { Mentions, Naming } from "./mentions";
import type { Crowd } from "./crowd";
import type { Findings } from "./finder";
import type { Historian, Loading } from "./historian";
import type { OpenLink } from "./link";
import type { Outbox, OutboxStore } from "./outbox";
import type { Presence } from "./presence";
import type { Reader } from "./reader";
import { buildRows, type Row } from "./rows";
import type { Found, Seeker } from "./seeker";
import type { Timeline } from "./timeline";
import type { Typist } from "./typist";
import type { Message, Notice, PublicRoom, RoomSettings, Sanction, Standing, User } from "./wire";

export interface SessionOptions {
  readonly room: string;
  readonly store: OutboxStore;
  readonly openLink: OpenLink;
  readonly changed: () => void;
  readonly newId: () => string;
  readonly now?: () => number;
  readonly random?: () => number;
}

/** What the page shows of a room; frozen in the sense that the session never changes one it handed out. */
export interface RoomView {
  readonly room: string;
  readonly connection: Connection;
  readonly me: User | null;
  /** The other user's name, in a room of two, if they have said one. */
  readonly peerName: string | null;
  /** All rooms of the user, this one too. */
  readonly mine: readonly Standing[];
  /** The messages that name the user, in all rooms, newest first. */
  readonly mentions: readonly Naming[];
  readonly mentionsFailed: boolean;
  readonly directory: Findings<PublicRoom>;
  /** Messages of the room that were searched for. */
  readonly search: Findings<Message>;
  /** Whom the room knows, as far as that was asked for. */
  readonly people: readonly User[];
  /** The message that the user went to last. */
  readonly found: Found | null;
  readonly presence: Presence;
  readonly typing: readonly User[];
  readonly rows: readonly Row[];
  readonly unread: number;
  readonly notice: Notice | null;
  readonly loading: Loading;
  readonly historyFailed: boolean;
  readonly complete: boolean;
  readonly outboxFull: boolean;
  readonly mayPost: boolean;
  readonly mayLookBack: boolean;
  readonly mayModerate: boolean;
  readonly settings: RoomSettings;
  /** Who is banned, or muted, for moderators. */
  readonly sanctions: Findings<Sanction>;
}

type Given = "room" | "connection" | "me" | "notice" | "mine" | "directory" | "search" | "mayPost" | "mayLookBack" | "mayModerate" | "settings" | "sanctions";

export interface RoomParts extends Pick<RoomView, Given> {
  readonly peer: User | null;
  readonly unreadAfter: number | null;
  readonly timeline: Timeline;
  readonly historian: Historian;
  readonly outbox: Outbox;
  readonly reader: Reader;
  readonly typist: Typist;
  readonly crowd: Crowd;
  readonly mentions: Mentions;
  readonly seeker: Seeker;
}

export function drawn(parts: RoomParts): RoomView {
  const { room, connection, me, notice, mine: rooms, directory, search, mayPost, mayLookBack, mayModerate, settings, sanctions } = parts;
  const { peer, unreadAfter, timeline, historian, outbox, reader, typist, crowd, mentions, seeker } = parts;
  const mine = me?.id ?? null;
  return {
    room,
    connection,
    me,
    notice,
    mayPost,
    mayLookBack,
    mayModerate,
    settings,
    sanctions,
    mine: rooms,
    peerName: peerName(peer, timeline),
    mentions: mentions.list(room, reader.readTo),
    mentionsFailed: mentions.failed,
    directory,
    search,
    people: crowd.people,
    found: seeker.found,
    presence: crowd.presence,
    typing: typist.users(mine),
    rows: buildRows({
      messages: timeline.messages,
      gaps: historian.gaps(),
      notes: crowd.notes,
      entries: outbox.entries,
      me: mine,
      unreadAfter,
    }),
    unread: timeline.messages.filter(({ user, offset }) => user.id !== mine && offset > reader.readTo).length,
    loading: historian.loading,
    historyFailed: historian.failed,
    complete: timeline.complete,
    outboxFull: outbox.full,
  };
}

/** Of somebody whom the server has not seen here yet it knows the id only. */
function peerName(peer: User | null, timeline: Timeline): string | null {
  if (peer === null) return null;
  const said = timeline.messages.findLast(({ user }) => user.id === peer.id)?.user.name;
  return said ?? (peer.name === peer.id ? null : peer.name);
}
