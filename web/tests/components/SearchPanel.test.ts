// @vitest-environment happy-dom
import { nextTick } from "vue";
import { expect, test, vi } from "vitest";
import SearchPanel from "../../src/components/SearchPanel.vue";
import { message, nothingFound } from "../support";
import { mount, type } from "./mount";

async function search(found: object = {}, on: Record<string, unknown> = {}) {
  const page = mount(SearchPanel, { found: { ...nothingFound, ...found }, ...on });
  page.find("search-button").click();
  await nextTick();
  await nextTick();
  return page;
}

test("asks for what is in the field, and for nothing when it is empty", async () => {
  vi.useFakeTimers();
  const [onFind, onForget] = [vi.fn(), vi.fn()];
  const page = await search({}, { onFind, onForget });
  const field = page.find<HTMLInputElement>("search-input");
  expect(document.activeElement).toBe(field);
  await type(field, "tea");
  vi.advanceTimersByTime(300);
  await type(field, " ");
  vi.advanceTimersByTime(300);
  expect([onFind.mock.calls, onForget.mock.calls.length]).toEqual([[["tea"]], 1]);
  vi.useRealTimers();
});

test("what was found is shown with the words around it, and leads to the message", async () => {
  const onSeek = vi.fn();
  const items = [message(7, { body: "The <b>tea</b> is ready" })];
  const page = await search({ query: "tea", items }, { onSeek });
  const result = page.find("search-result");
  expect([result.querySelector(".words")?.textContent, result.querySelector("mark")?.textContent]).toEqual(["The <b>tea</b> is ready", "tea"]);
  result.click();
  await nextTick();
  expect([onSeek.mock.calls, page.root.querySelector("#search")]).toEqual([[[7]], null]);
});

test.each([
  [{ query: "x", loading: true }, "Searching…"],
  [{ query: "x" }, "Nothing in this room says that."],
  [{ query: "x", partial: true, more: true }, "Nothing yet. Only the newest part of the history was looked through."],
  [{ query: "x", failure: "That was a bit too fast." }, "That was a bit too fast. Try again"],
])("of %o it says %s", async (found, words) => expect((await search(found)).root.textContent).toContain(words));

test("goes on where it ended, in words that fit", async () => {
  const onMore = vi.fn();
  const page = await search({ query: "x", more: true, items: [message(1)] }, { onMore });
  expect(page.find("search-more").textContent?.trim()).toBe("More");
  page.find("search-more").click();
  expect((await search({ query: "x", more: true, partial: true })).find("search-more").textContent?.trim()).toBe("Search further back");
  (await search({ query: "x", failure: "No answer came." }, { onMore })).find("search-again").click();
  expect(onMore).toHaveBeenCalledTimes(2);
});

test("Escape closes it and gives the keyboard back", async () => {
  const page = await search();
  page.find("search-input").dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
  await nextTick();
  await nextTick();
  expect([page.root.querySelector("#search"), document.activeElement]).toEqual([null, page.find("search-button")]);
});
