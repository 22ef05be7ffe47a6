import { onScopeDispose, shallowRef, type ShallowRef } from "vue";
import { RoomSession } from "../realtime/session";
import type { RoomView, SessionOptions } from "../realtime/view";

/** One frame: a room in which a thousand messages a second arrive is drawn sixty times, not a thousand. */
const DRAW_AFTER = 16;

export interface RoomStay {
  readonly session: RoomSession;
  readonly view: Readonly<ShallowRef<RoomView>>;
  leave(): void;
}

export function useRoom(options: Omit<SessionOptions, "changed">): RoomStay {
  let drawing: ReturnType<typeof setTimeout> | undefined;
  const session = new RoomSession({
    ...options,
    changed: () => {
      drawing ??= setTimeout(draw, DRAW_AFTER);
    },
  });
  const view = shallowRef(session.view());

  function draw(): void {
    drawing = undefined;
    view.value = session.view();
  }

  function leave(): void {
    session.close();
    clearTimeout(drawing);
  }

  onScopeDispose(leave);
  session.open();
  return { session, view, leave };
}
