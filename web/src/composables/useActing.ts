import type { ShallowRef } from "vue";

const STEPS: Record<string, [buttons: number, messages: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

/**
 * The keyboard's way to what can be done to messages: Enter on the list leads to the newest message that offers something, left
 * and right go along its buttons, up and down from message to message, Escape leads back to the list.
 */
export function useActing(list: Readonly<ShallowRef<HTMLElement | null>>) {
  function buttons(of: Element): HTMLElement[] {
    return [...of.querySelectorAll<HTMLElement>("[data-act]:not(:disabled)")];
  }

  function onKey(event: KeyboardEvent): void {
    const root = list.value;
    if (!root || event.defaultPrevented) return;
    const here = document.activeElement;
    const messages = [...root.querySelectorAll("[data-row]")].filter((row) => buttons(row).length > 0);
    if (here === root) {
      if (event.key === "Enter") move(event, buttons(messages.at(-1) ?? root)[0]);
      return;
    }
    const message = here?.closest("[data-row]");
    if (message && here === message && event.key === "Enter") return move(event, buttons(message)[0]);
    if (!message || !here?.matches("[data-act]")) return;
    if (event.key === "Escape") move(event, root);
    const step = Object.hasOwn(STEPS, event.key) ? STEPS[event.key] : undefined;
    if (!step) return;
    const along = buttons(message);
    if (step[0]) move(event, along[along.indexOf(here as HTMLElement) + step[0]]);
    else move(event, buttons(messages[messages.indexOf(message) + step[1]] ?? message)[0]);
  }

  function move(event: KeyboardEvent, to: HTMLElement | undefined): void {
    event.preventDefault();
    to?.focus();
  }

  return onKey;
}
