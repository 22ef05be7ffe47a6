import { onBeforeUnmount, ref, watch } from "vue";

/** Nobody wants an answer for each key. */
const ASK_AFTER = 300;

/** What is in a search field, told a moment after the last key, or at once with `now`. */
export function useQuery(tell: (query: string) => void) {
  const query = ref("");
  let timer: ReturnType<typeof setTimeout> | undefined;

  function now(): void {
    clearTimeout(timer);
    tell(query.value.trim());
  }

  watch(query, () => {
    clearTimeout(timer);
    timer = setTimeout(now, ASK_AFTER);
  });
  onBeforeUnmount(() => clearTimeout(timer));

  return { query, now };
}
