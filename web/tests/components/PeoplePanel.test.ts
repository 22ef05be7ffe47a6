// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import PeoplePanel from "../../src/components/PeoplePanel.vue";
import { UNSET } from "../../src/realtime/wire";
import { nothingFound } from "../support";
import { mount, type } from "./mount";

const me = { id: "u-me", name: "Me" };
const eve = { id: "u-eve", name: "Eve" };
const presence = { online: 3, total: 9, people: new Map([me, eve].map((user) => [user.id, user])) };

async function open(more: Record<string, unknown> = {}) {
  const given = { presence, me, mayWrite: true, mayModerate: true, sanctions: nothingFound, known: [eve], settings: UNSET, save: () => Promise.resolve(true) };
  const page = mount(PeoplePanel, { ...given, ...more });
  page.root.querySelector<HTMLButtonElement>(".counts")!.click();
  await nextTick();
  const show = async (name: string): Promise<void> => {
    page.find(`${name}-page`).click();
    await nextTick();
  };
  return { page, show };
}

test("who is here, and the way to be alone with somebody; nothing else for who may not moderate", async () => {
  const onEnter = vi.fn();
  const { page } = await open({ mayModerate: false, onEnter });
  expect(page.all("person").map(({ textContent }) => textContent?.replace(/\s+/g, " ").trim())).toEqual(["Eve Write", "Me you"]);
  expect(page.root.textContent).toContain("and 1 more");
  expect([page.all("moderate-button"), page.all("ban-page")]).toEqual([[], []]);
  page.find("direct-button").click();
  expect(onEnter.mock.calls).toEqual([["@dm/u-eve", "Eve"]]);
});

test("a moderator kicks, mutes and bans in two steps, nobody for good by chance, and not themselves", async () => {
  const onAct = vi.fn();
  const { page } = await open({ onAct });
  expect(page.all("moderate-button")).toHaveLength(1);
  for (const button of ["kick-button", "mute-button", "ban-button"]) {
    page.find("moderate-button").click();
    await nextTick();
    page.find(button).click();
    await nextTick();
  }
  page.find("moderate-button").click();
  await nextTick();
  const lasts = page.find<HTMLSelectElement>("act-lasts");
  lasts.selectedIndex = lasts.options.length - 1;
  lasts.dispatchEvent(new Event("change"));
  await nextTick();
  expect(page.find<HTMLButtonElement>("mute-button").disabled).toBe(true);
  page.find("ban-button").click();
  expect(onAct.mock.calls.map(([act]) => act)).toEqual([
    { what: "kick", user: "u-eve", seconds: null },
    { what: "mute", user: "u-eve", seconds: 600 },
    { what: "ban", user: "u-eve", seconds: 600 },
    { what: "ban", user: "u-eve", seconds: null },
  ]);
});

test("who is muted or banned, until when and why, and the way to end it", async () => {
  const [onList, onLift, onMore] = [vi.fn(), vi.fn(), vi.fn()];
  const items = [
    { user: eve, until: null, by: "ada", reason: "spam" },
    { user: { id: "u-bo", name: "u-bo" }, until: 1_700_000_000_000, by: "ada", reason: "" },
  ];
  const sanctions = { ...nothingFound, query: "ban", items, more: true };
  const { page, show } = await open({ sanctions, onList, onLift, onMore });
  await show("mute");
  expect(page.all("sanction")).toEqual([]); // that list is still to come
  await show("ban");
  expect(onList.mock.calls).toEqual([["mute"], ["ban"]]);
  expect(page.all("sanction").map(({ textContent }) => textContent?.replace(/\s+/g, " "))).toMatchObject([
    "EveLiftfor good by ada: spam",
    /^u-boLiftuntil .* by ada$/,
  ].map((words) => (typeof words === "string" ? words : expect.stringMatching(words))));
  page.find("lift-button").click();
  expect(onLift.mock.calls).toEqual([["ban", "u-eve"]]);
});

test("the room's settings are saved, and whether they were is said", async () => {
  const save = vi.fn(() => Promise.resolve(false));
  const { page, show } = await open({ settings: { topic: "Tea", slowMode: 7, readOnly: false }, save });
  await show("room");
  expect(page.find<HTMLSelectElement>("slow-input").selectedOptions[0]?.textContent).toBe("7 seconds");
  await type(page.find<HTMLInputElement>("topic-input"), " Coffee ");
  page.find("readonly-input").click();
  page.root.querySelector("form")!.dispatchEvent(new Event("submit", { cancelable: true }));
  await vi.waitFor(() => expect(page.root.textContent).toContain("Not saved."));
  expect(save.mock.calls).toEqual([[{ topic: "Coffee", slowMode: 7, readOnly: true }]]);
});
