import { computed, nextTick, ref, type Ref, type ShallowRef } from "vue";
import { begun, completed, named, offered, type Begun } from "../realtime/naming";
import type { User } from "../realtime/wire";

const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };

/** Completes names behind an @ in a field, by the keyboard or the pointer, and knows whom the text names. */
export function useNaming(
  field: Readonly<ShallowRef<HTMLTextAreaElement | null>>,
  text: Ref<string>,
  people: () => readonly User[],
  me: () => string | null,
  onBegin: () => void,
) {
  const writing = ref<Begun | null>(null);
  const at = ref(0);
  const chosen = ref<User[]>([]);
  const choices = computed(() => (writing.value === null ? [] : offered(people(), writing.value.query, me())));

  /** Call when the text or the caret has changed. */
  function look(): void {
    const element = field.value;
    const before = writing.value;
    writing.value = element && element.selectionStart === element.selectionEnd ? begun(text.value, element.selectionStart) : null;
    if (writing.value?.query !== before?.query) at.value = 0;
    if (writing.value !== null && before === null) onBegin();
  }

  function close(): void {
    writing.value = null;
  }

  async function choose(user: User): Promise<void> {
    if (writing.value === null) return;
    const done = completed(text.value, writing.value, user.name);
    chosen.value = [...chosen.value, user];
    text.value = done.text;
    close();
    await nextTick();
    field.value?.focus();
    field.value?.setSelectionRange(done.caret, done.caret);
  }

  /** True: the key was meant for the names. */
  function onKey(event: KeyboardEvent): boolean {
    const count = choices.value.length;
    if (count === 0 || event.isComposing) return false;
    const step = Object.hasOwn(STEPS, event.key) ? STEPS[event.key] : undefined;
    if (step) at.value = (at.value + step + count) % count;
    else if (event.key === "Escape") close();
    else if ((event.key === "Enter" || event.key === "Tab") && !event.shiftKey) void choose(choices.value[at.value]!);
    else return false;
    event.preventDefault();
    event.stopPropagation();
    return true;
  }

  /** Whom the text names; the next text begins anew. */
  function taken(body: string): string[] {
    return named(body, people(), chosen.value, me());
  }

  function forget(): void {
    chosen.value = [];
    close();
  }

  return { choices, at, look, close, choose, onKey, taken, forget };
}
