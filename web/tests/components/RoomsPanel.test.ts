// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import RoomsPanel from "../../src/components/RoomsPanel.vue";
import { nothingFound } from "../support";
import { mount, type } from "./mount";

const nothing = { mentions: [], mentionsFailed: false, directory: nothingFound };
const rooms = [
  { room: "tea", unread: 3, peer: null, mentions: 0 },
  { room: "lobby", unread: 9, peer: null, mentions: 0 },
  { room: "@dm/u-7", unread: 0, peer: { id: "u-7", name: "Bob" }, mentions: 0 },
];

test("says how many of the other rooms have something unread, and leads there", async () => {
  const onEnter = vi.fn();
  const page = mount(RoomsPanel, { ...nothing, room: "lobby", rooms, onEnter });
  expect(page.find("rooms-unread").textContent).toBe("1");
  page.find("rooms-button").click();
  await nextTick();
  expect(page.all("room-entry").map((entry) => entry.textContent?.replace(/\s+/g, ""))).toEqual(["#tea3", "@Bob"]);
  page.all("room-entry")[1]!.click();
  page.all("room-entry")[0]!.click();
  expect(onEnter.mock.calls).toEqual([["@dm/u-7", "Bob"], ["tea", undefined]]);
});

test("Escape closes it; without other rooms it says so", async () => {
  const page = mount(RoomsPanel, { ...nothing, room: "lobby", rooms: [{ room: "lobby", unread: 1, peer: null, mentions: 0 }] });
  expect(page.all("rooms-unread")).toEqual([]);
  page.find("rooms-button").click();
  await nextTick();
  expect(page.root.textContent).toContain("no other room");
  page.root.querySelector(".rooms")!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  await nextTick();
  expect(page.root.querySelector("#rooms")).toBe(null);
});

test("who has named the user where, and the way there", async () => {
  const user = { id: "u-ada", name: "Ada" };
  const mentions = [
    { number: 3, room: "@dm/u-7", offset: 4, user, at: 1_700_000_000_000, fresh: true },
    { number: 2, room: "tea", offset: 9, user, at: 1_700_000_000_000, fresh: false },
  ];
  const [onSeek, onMentions] = [vi.fn(), vi.fn()];
  const page = mount(RoomsPanel, { ...nothing, room: "lobby", rooms, mentions, mentionsFailed: true, onSeek, onMentions });
  expect(page.find("mentions-unread").textContent).toBe("@1");
  page.find("rooms-button").click();
  await nextTick();
  expect(page.all("room-entry")[1]!.textContent).toMatch(/@Bob\s*@1/);
  page.find("mentions-page").click();
  await nextTick();
  expect(page.all("mention-entry").map((entry) => entry.querySelector(".title")!.textContent)).toEqual(["New: Ada in @Bob", "Ada in #tea"]);
  page.find("mentions-again").click();
  page.all("mention-entry")[0]!.click();
  await nextTick();
  expect([onSeek.mock.calls, onMentions.mock.calls.length]).toEqual([[["@dm/u-7", 4, "Bob"]], 1]);
  expect(page.root.querySelector("#rooms")).toBe(null);
});

test("public rooms are looked for a moment after the last key, and lead there", async () => {
  vi.useFakeTimers();
  const [onFind, onMore, onEnter] = [vi.fn(), vi.fn(), vi.fn()];
  const items = [
    { room: "tea", topic: "Green", online: 2, total: 1 },
    { room: "lobby", topic: "", online: null, total: null },
  ];
  const directory = { ...nothingFound, query: "", items, more: true };
  const page = mount(RoomsPanel, { ...nothing, room: "lobby", rooms, directory, onFind, onMore, onEnter });
  page.find("rooms-button").click();
  await nextTick();
  page.find("directory-page").click();
  await nextTick();
  expect(document.activeElement).toBe(page.find("directory-input"));
  for (const text of ["g", "gr "]) await type(page.find<HTMLInputElement>("directory-input"), text);
  vi.advanceTimersByTime(300);
  page.root.querySelector("form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  expect(onFind.mock.calls).toEqual([[""], ["gr"], ["gr"]]);
  vi.useRealTimers();
  expect(page.all("public-room").map(({ textContent }) => textContent?.replace(/\s+/g, " "))).toEqual(["#tea2 online, 1 memberGreen", "#lobby · you are here"]);
  page.find("directory-more").click();
  page.find("public-room").click();
  page.all("public-room")[1]!.click();
  await nextTick();
  expect([onMore.mock.calls.length, onEnter.mock.calls]).toEqual([1, [["tea"]]]);
  expect(page.root.querySelector("#rooms")).toBe(null);
});

test.each([
  [{ loading: true }, "Looking…"],
  [{ query: "x" }, "No public room says that."],
  [{}, "There is no public room."],
  [{ failure: "That was a bit too fast." }, "That was a bit too fast. Try again"],
])("of %o the directory says %s", async (found, words) => {
  const page = mount(RoomsPanel, { ...nothing, room: "lobby", rooms, directory: { ...nothingFound, ...found } });
  page.find("rooms-button").click();
  await nextTick();
  page.find("directory-page").click();
  await nextTick();
  expect(page.root.textContent).toContain(words);
  page.unmount();
});
