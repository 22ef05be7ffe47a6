// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import RoomsPanel from "../../src/components/RoomsPanel.vue";
import { mount } from "./mount";

const rooms = [
  { room: "tea", unread: 3, peer: null },
  { room: "lobby", unread: 9, peer: null },
  { room: "@dm/u-7", unread: 0, peer: { id: "u-7", name: "Bob" } },
];

test("says how many of the other rooms have something unread, and leads there", async () => {
  const onEnter = vi.fn();
  const page = mount(RoomsPanel, { room: "lobby", rooms, onEnter });
  expect(page.find("rooms-unread").textContent).toBe("1");
  page.find("rooms-button").click();
  await nextTick();
  expect(page.all("room-entry").map((entry) => entry.textContent?.replace(/\s+/g, ""))).toEqual(["#tea3", "@Bob"]);
  page.all("room-entry")[1]!.click();
  page.all("room-entry")[0]!.click();
  expect(onEnter.mock.calls).toEqual([["@dm/u-7", "Bob"], ["tea", undefined]]);
});

test("Escape closes it; without other rooms it says so", async () => {
  const page = mount(RoomsPanel, { room: "lobby", rooms: [{ room: "lobby", unread: 1, peer: null }] });
  expect(page.all("rooms-unread")).toEqual([]);
  page.find("rooms-button").click();
  await nextTick();
  expect(page.root.textContent).toContain("no other room");
  page.root.querySelector(".rooms")!.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  await nextTick();
  expect(page.root.querySelector("#rooms")).toBe(null);
});
