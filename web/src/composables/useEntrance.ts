import { onBeforeUnmount, onMounted, readonly, ref } from "vue";
import { Memory, readAddress, roomFault, withRoom, type Address } from "../realtime/entrance";
import type { Auth } from "../realtime/socketio";
import { usable } from "../realtime/storage";

export const local = usable(() => window.localStorage);
const memory = new Memory(local, usable(() => window.sessionStorage));

/** Before anything else runs: the token must not stay where it can be read over a shoulder or copied with the address. */
function takeAddress(): Address {
  const address = readAddress(window.location.href);
  if (address.token !== null) memory.token = address.token;
  if (address.clean !== window.location.href) window.history.replaceState(null, "", address.clean);
  return address;
}

const first = takeAddress();

/** Who the user is and which room this tab is in. */
export function useEntrance(onToken: (token: string) => void) {
  const room = ref<string | null>(null);
  const proposedRoom = ref(first.room ?? memory.joined ?? (memory.lastRoom || "lobby"));
  const name = ref(memory.name);
  const hasToken = ref(memory.token !== null);

  const known = hasToken.value || memory.name !== "";
  const arrival = first.room ?? memory.joined;
  const invited = first.token !== null || arrival === memory.joined;
  if (arrival && known && invited && roomFault(arrival) === null) enter(arrival);

  function enter(wanted: string): void {
    room.value = proposedRoom.value = memory.joined = wanted;
    window.history.replaceState(null, "", withRoom(window.location.href, wanted));
  }

  function join(wanted: string, chosenName: string): void {
    if (!hasToken.value) name.value = memory.name = chosenName;
    enter(wanted);
  }

  function leave(): void {
    room.value = memory.joined = null;
    window.history.replaceState(null, "", withRoom(window.location.href, null));
  }

  function dropToken(): void {
    memory.token = null;
    hasToken.value = false;
  }

  function auth(): Auth {
    const token = memory.token;
    return token === null ? { user: memory.user, name: memory.name } : { token };
  }

  function onHashChange(): void {
    const { token } = takeAddress();
    if (token === null) return;
    hasToken.value = true;
    onToken(token);
  }

  onMounted(() => window.addEventListener("hashchange", onHashChange));
  onBeforeUnmount(() => window.removeEventListener("hashchange", onHashChange));

  return {
    room: readonly(room),
    proposedRoom: readonly(proposedRoom),
    name: readonly(name),
    hasToken: readonly(hasToken),
    transports: first.transports,
    join,
    enter,
    leave,
    dropToken,
    auth,
  };
}
