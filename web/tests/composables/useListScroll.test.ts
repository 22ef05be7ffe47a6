// @vitest-environment happy-dom
import { defineComponent, h, nextTick, ref } from "vue";
import { beforeEach, expect, test, vi } from "vitest";
import { useListScroll } from "../../src/composables/useListScroll";
import { mount } from "../components/mount";

let height: number;
let view: number;
const rows = ref(0);
const onStart = vi.fn();
let scroll: ReturnType<typeof useListScroll>;
let element: HTMLElement;

/** happy-dom lays nothing out: the geometry is the test's. */
function measured(node: HTMLElement): void {
  let top = 0;
  Object.defineProperties(node, {
    scrollHeight: { get: () => height },
    clientHeight: { get: () => view },
    scrollTop: { get: () => Math.min(top, height - view), set: (value: number) => (top = Math.max(0, Math.min(value, height - view))) },
  });
}

beforeEach(() => {
  [height, view] = [1_000, 200];
  onStart.mockClear();
  const list = ref<HTMLElement | null>(null);
  const component = defineComponent({
    setup() {
      scroll = useListScroll(list, () => rows.value, onStart);
      return () => h("div", { ref: list, "data-testid": "list", onVnodeBeforeMount: (node) => measured(node.el as HTMLElement) }, `${rows.value}`);
    },
  });
  const page = mount(component);
  element = page.find("list");
  return () => page.unmount();
});

test("begins at the end and follows it", async () => {
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([800, true]);
  height = 1_100;
  rows.value += 1;
  await nextTick();
  await nextTick();
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([900, true]);
});

test("who scrolls up stays there, and is asked for more near the beginning", async () => {
  element.scrollTop = 300;
  scroll.onScroll();
  expect([scroll.atEnd.value, onStart.mock.calls.length]).toEqual([false, 0]);
  height = 1_100;
  rows.value += 1;
  await nextTick();
  await nextTick();
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([300, false]);
  element.scrollTop = 100;
  scroll.onScroll();
  expect(onStart).toHaveBeenCalledOnce();
});

test("an event of an earlier scroll that comes after the end moved away is not the reader's", () => {
  height = 1_400;
  scroll.onScroll();
  expect(scroll.atEnd.value).toBe(true);
  view = 100;
  scroll.onScroll();
  expect(scroll.atEnd.value).toBe(true);
});

test("back down is the end again, and so is the way there by button", () => {
  element.scrollTop = 300;
  scroll.onScroll();
  element.scrollTop = 500;
  scroll.onScroll();
  expect(scroll.atEnd.value).toBe(false);
  element.scrollTop = 780;
  scroll.onScroll();
  expect(scroll.atEnd.value).toBe(true);
  element.scrollTop = 300;
  scroll.onScroll();
  scroll.toEnd();
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([800, true]);
});

test("a row that the reader went to stays, also while the end is in view, until the reader scrolls", async () => {
  const row = document.createElement("p");
  element.append(row);
  [height, view] = [200, 200];
  scroll.toRow(row);
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([0, true]);
  height = 1_000;
  rows.value += 1;
  await nextTick();
  await nextTick();
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([0, false]);
  element.scrollTop = 790;
  scroll.onScroll();
  height = 1_100;
  rows.value += 1;
  await nextTick();
  await nextTick();
  expect([element.scrollTop, scroll.atEnd.value]).toEqual([900, true]);
});
