import { nextTick, onBeforeUnmount, onMounted, ref, watch, type Ref } from "vue";

const NEAR_END = 48;
const NEAR_START = 240;

/**
 * Keeps a growing list still for the reader: at the end it follows the end; elsewhere the first visible row stays where
 * it is, whatever is added above or below.
 */
export function useListScroll(list: Ref<HTMLElement | null>, changes: () => unknown, onStart: () => void) {
  const atEnd = ref(true);
  let resizes: ResizeObserver | undefined;
  let lastTop = 0;
  /** The row that the reader went to: it stays where it is until the reader scrolls, even where the end is in view, too. */
  let held: HTMLElement | null = null;

  function toEnd(): void {
    const element = list.value;
    held = null;
    if (element) {
      element.scrollTop = element.scrollHeight;
      lastTop = element.scrollTop;
    }
    atEnd.value = true;
  }

  /** Brings a row into the middle, and stays there. */
  function toRow(row: HTMLElement): void {
    const element = list.value;
    if (!element) return;
    const [frame, shown] = [element.getBoundingClientRect(), row.getBoundingClientRect()];
    const above = Math.max(0, (element.clientHeight - shown.height) / 2);
    element.scrollTop += shown.top - frame.top - above;
    lastTop = element.scrollTop;
    held = row;
    onScroll();
  }

  function onScroll(): void {
    const element = list.value;
    if (!element) return;
    const near = element.scrollHeight - element.scrollTop - element.clientHeight <= NEAR_END;
    // The end also moves away by itself, when a message comes or the composer grows, and the event of an earlier scroll
    // arrives only then: leaving the end is what the reader does, upwards.
    if (element.scrollTop !== lastTop) held = null;
    if (near || held || element.scrollTop < lastTop) atEnd.value = near;
    lastTop = element.scrollTop;
    if (element.scrollTop < NEAR_START) onStart();
  }

  // Rows that say something about the row below them move when the list grows above: they carry no data-row.
  function firstVisible(element: HTMLElement): HTMLElement | undefined {
    const top = element.getBoundingClientRect().top;
    return [...element.querySelectorAll<HTMLElement>("[data-row]")].find(
      (row) => row.getBoundingClientRect().bottom > top,
    );
  }

  // Before the DOM changes: where is what the user reads?
  watch(
    changes,
    async () => {
      const element = list.value;
      if (!element) return;
      const follow = atEnd.value && held === null;
      const anchor = follow ? undefined : (held ?? firstVisible(element));
      const before = anchor?.getBoundingClientRect().top ?? 0;
      await nextTick();
      if (follow) toEnd();
      else if (anchor?.isConnected) element.scrollTop += anchor.getBoundingClientRect().top - before;
      lastTop = held === null ? lastTop : element.scrollTop;
      onScroll();
    },
    { flush: "pre" },
  );

  onMounted(() => {
    toEnd();
    if (typeof ResizeObserver === "undefined" || !list.value) return;
    // The keyboard of a phone, or a growing composer, takes room from the list.
    resizes = new ResizeObserver(() => {
      if (atEnd.value && held === null) toEnd();
    });
    resizes.observe(list.value);
  });
  onBeforeUnmount(() => resizes?.disconnect());

  return { atEnd, toEnd, toRow, onScroll };
}
