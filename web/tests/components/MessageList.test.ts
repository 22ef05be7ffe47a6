// @vitest-environment happy-dom
import { describe, expect, test, vi } from "vitest";
import { nextTick } from "vue";
import MessageList from "../../src/components/MessageList.vue";
import { initial } from "../../src/realtime/connection";
import type { Entry } from "../../src/realtime/outbox";
import { nobody } from "../../src/realtime/presence";
import { buildRows, type RowSource } from "../../src/realtime/rows";
import type { RoomView } from "../../src/realtime/view";
import { UNSET } from "../../src/realtime/wire";
import { message, nothingFound } from "../support";
import { mount, type } from "./mount";

const me = { id: "u-me", name: "Me" };
const failed: Entry = {
  id: "own-1",
  body: "mine",
  at: message(9).at,
  state: "failed",
  error: { code: "long", message: "Too long.", temporary: false, retryAfter: null },
  attempts: 1,
  notBefore: 0,
  offset: null,
};

function show(source: Partial<RowSource>, view: Partial<RoomView> = {}, on: Record<string, unknown> = {}) {
  const rows = buildRows({ messages: [], gaps: [], notes: [], entries: [], me: me.id, unreadAfter: null, ...source });
  return mount(MessageList, {
    edit: () => Promise.resolve(true),
    view: {
      room: "lobby",
      connection: { ...initial, state: "live" },
      me,
      presence: nobody,
      typing: [],
      rows,
      unread: 0,
      notice: null,
      loading: null,
      historyFailed: false,
      complete: true,
      outboxFull: false,
      mayPost: true,
      mayLookBack: true,
      mayModerate: false,
      settings: UNSET,
      sanctions: nothingFound,
      mine: [],
      mentions: [],
      mentionsFailed: false,
      directory: nothingFound,
      search: nothingFound,
      people: [],
      found: null,
      peerName: null,
      ...view,
    } satisfies RoomView,
    ...on,
  });
}

test("messages carry offset, id and state", () => {
  const page = show({ messages: [message(3, { user: { id: "x", name: "\u202eevil" } })], entries: [failed] });
  const [first, second] = page.all("message");
  expect({ ...first!.dataset }).toMatchObject({ id: "id-3", offset: "3", state: "sent" });
  expect({ ...second!.dataset }).toMatchObject({ id: "own-1", state: "failed" });
  expect(second!.hasAttribute("data-offset")).toBe(false);
  expect(first!.querySelector("bdi")?.textContent).toBe("\u202eevil");
});

test("a failed message says why and can be sent again or thrown away", () => {
  const [onRetry, onDiscard] = [vi.fn(), vi.fn()];
  const page = show({ entries: [failed] }, {}, { onRetry, onDiscard });
  expect(page.find("message").textContent).toContain("Too long.");
  page.find("retry-button").click();
  page.find("discard-button").click();
  expect([onRetry.mock.calls, onDiscard.mock.calls]).toEqual([[["own-1"]], [["own-1"]]]);
});

test("a gap says how much is missing and asks for it", () => {
  const onFill = vi.fn();
  const page = show({ messages: [message(1), message(9)], gaps: [{ from: 2, to: 8, kind: "lost" }] }, {}, { onFill });
  expect(page.find("gap").textContent).toContain("7 messages could not be recovered");
  page.find("gap-button").click();
  expect(onFill).toHaveBeenCalledExactlyOnceWith(8);
  const gone = show({ messages: [message(1), message(9)], gaps: [{ from: 2, to: 2, kind: "gone" }] });
  expect(gone.find("gap").textContent).toContain("1 message no longer kept");
  expect(gone.all("gap-button")).toHaveLength(0);
});

test("without leave to look back nothing offers to", () => {
  const onOlder = vi.fn();
  const gaps = [{ from: 2, to: 8, kind: "lost" as const }];
  const source = { messages: [message(1), message(9)], gaps };
  const page = show(source, { complete: false, mayLookBack: false }, { onOlder });
  expect(page.all("gap-button")).toHaveLength(0);
  expect(page.root.textContent).toContain("before you came is not shown");
  page.find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).not.toHaveBeenCalled();
  expect(show({}, { complete: false, mayLookBack: false }).root.textContent).toContain("New messages appear here.");
});

test("is a log that is not read aloud while a page of history comes in", () => {
  const list = show({ messages: [message(1)] }, { loading: "older" }).find("message-list");
  expect(list.getAttribute("role")).toBe("log");
  expect(list.getAttribute("aria-busy")).toBe("true");
  expect(list.getAttribute("tabindex")).toBe("0");
});

test("who came and left, in words", () => {
  const users = ["Ada", "Bo", "Cy", "Di", "Ed"].map((name) => ({ id: name, name }));
  const note = { key: 1, after: 0, at: 0, joined: users.slice(0, 2), left: users };
  const page = show({ notes: [note] });
  expect(page.find("presence-note").textContent).toBe("Ada and Bo joined, Ada, Bo, Cy and 2 others left");
});

test("an empty room, a room that loads and a room out of reach say so", () => {
  expect(show({}).root.textContent).toContain("Nothing has been said here yet.");
  expect(show({}, { complete: false, loading: "latest" }).root.textContent).toContain("Loading messages…");
  const away = { ...initial, state: "connecting" as const };
  expect(show({}, { complete: false, connection: away }).root.textContent).toContain("once you are connected");
});

test("after a failure only the user asks again", () => {
  const onOlder = vi.fn();
  const page = show({ messages: [message(5)] }, { complete: false, historyFailed: true }, { onOlder });
  page.find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).not.toHaveBeenCalled();
  page.root.querySelector<HTMLButtonElement>(".aside button")!.click();
  expect(onOlder).toHaveBeenCalledOnce();
});

test("scrolling up asks for older messages, not past the beginning", () => {
  const onOlder = vi.fn();
  show({ messages: [message(5)] }, { complete: false }, { onOlder }).find("message-list").dispatchEvent(new Event("scroll"));
  show({ messages: [message(5)] }, { complete: true }, { onOlder }).find("message-list").dispatchEvent(new Event("scroll"));
  expect(onOlder).toHaveBeenCalledOnce();
});

test("a message that names me is marked, and said to be one", () => {
  const named = { mentions: [me.id] };
  const page = show({ messages: [message(1, named), message(2), message(3, { ...named, user: me })] });
  expect(page.all("message").map((item) => item.classList.contains("named"))).toEqual([true, false, false]);
  expect(page.all("names-you")).toHaveLength(1);
});

test("the message that was gone to is marked, and has the keyboard", async () => {
  const page = show({ messages: [message(1), message(2)] }, { found: { offset: 1, times: 1 } });
  await vi.waitFor(() => expect(document.activeElement).toBe(page.all("message")[0]));
  expect(page.all("message").map((item) => item.classList.contains("found"))).toEqual([true, false]);
  document.activeElement!.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  expect(document.activeElement).toBe(page.all("react-button")[0]);
  show({ messages: [message(1)] }, { found: { offset: 9, times: 1 } }); // which is not here any more
});

describe("what can be done to a message", () => {
  const mine = message(1, { user: me });
  const theirs = message(2);

  test("my own can be edited in place", async () => {
    const edit = vi.fn(() => Promise.resolve(true));
    const page = show({ messages: [mine, theirs] }, {}, { edit });
    expect(page.all("edit-button")).toHaveLength(1);
    page.find("edit-button").click();
    await nextTick();
    await type(page.find<HTMLTextAreaElement>("editor"), "new words ");
    page.find("save-button").click();
    expect(edit.mock.calls).toEqual([[1, "new words"]]);
    await vi.waitFor(() => expect(page.all("editor")).toEqual([]));
  });

  test("what could not be saved stays in the field", async () => {
    const page = show({ messages: [mine] }, {}, { edit: () => Promise.resolve(false) });
    page.find("edit-button").click();
    await nextTick();
    await type(page.find<HTMLTextAreaElement>("editor"), "other");
    page.find("save-button").click();
    await nextTick();
    await nextTick();
    expect(page.find<HTMLTextAreaElement>("editor").value).toBe("other");
  });

  test("a deletion is asked about; a moderator may delete those of others", async () => {
    const onRemove = vi.fn();
    expect(show({ messages: [theirs] }).all("delete-button")).toEqual([]);
    const page = show({ messages: [theirs] }, { mayModerate: true }, { onRemove });
    page.find("delete-button").click();
    await nextTick();
    expect(onRemove).not.toHaveBeenCalled();
    page.find("confirm-button").click();
    expect(onRemove.mock.calls).toEqual([[2]]);
  });

  test("reactions are set and taken back", async () => {
    const onReact = vi.fn();
    const reactions = [{ emoji: "🎉", count: 3, mine: true }];
    const page = show({ messages: [message(2, { reactions })] }, {}, { onReact });
    expect(page.find("reaction").textContent).toMatch(/🎉\s*3/);
    expect(page.find("reaction").getAttribute("aria-pressed")).toBe("true");
    page.find("reaction").click();
    page.find("react-button").click();
    await nextTick();
    page.find("emoji-button").click();
    expect(onReact.mock.calls).toEqual([
      [2, "🎉", false],
      [2, "👍", true],
    ]);
  });

  test("an answer shows what it answers", () => {
    const onReply = vi.fn();
    const evil = message(1, { body: "first\nline \u202eevil", user: { id: "x", name: "Ada" } });
    const page = show({ messages: [evil, message(2, { replyTo: 1 }), message(3, { replyTo: "gone" })] }, {}, { onReply });
    expect(page.all("quote").map((line) => line.textContent?.trim())).toEqual([
      "↪ In answer to Ada: first line evil",
      "↪ In answer to an earlier message",
    ]);
    page.find("reply-button").click();
    expect(onReply.mock.calls).toEqual([[1]]);
  });

  test("of a deleted one only that is left, and nothing can be done to it", () => {
    const page = show({ messages: [message(1, { user: me, body: null, deleted: 5 }), message(2, { edited: 7 })] });
    expect(page.find("deleted").textContent).toContain("deleted");
    expect(page.find("edited").textContent).toContain("edited");
    expect(page.all("reply-button")).toHaveLength(1);
  });

  test("while there is no connection nothing can be done", () => {
    const page = show({ messages: [mine] }, { connection: { ...initial, state: "connecting" } });
    expect(page.all("react-button")).toEqual([]);
  });
});
