import { createApp, h, nextTick, type Component } from "vue";

export interface Mounted {
  readonly root: HTMLElement;
  find<T extends HTMLElement = HTMLElement>(testId: string): T;
  all(testId: string): HTMLElement[];
  unmount(): void;
}

export function mount(component: Component, props: Record<string, unknown> = {}): Mounted {
  const root = document.createElement("div");
  document.body.append(root);
  const app = createApp({ render: () => h(component, props) });
  app.config.warnHandler = (text) => {
    throw new Error(text);
  };
  app.mount(root);
  const all = (testId: string): HTMLElement[] => [...root.querySelectorAll<HTMLElement>(`[data-testid="${testId}"]`)];
  return {
    root,
    all,
    find<T extends HTMLElement>(testId: string): T {
      const [found] = all(testId);
      if (!found) throw new Error(`no ${testId} in ${root.innerHTML}`);
      return found as T;
    },
    unmount() {
      app.unmount();
      root.remove();
    },
  };
}

export async function type(field: HTMLInputElement | HTMLTextAreaElement, text: string): Promise<void> {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await nextTick();
}
