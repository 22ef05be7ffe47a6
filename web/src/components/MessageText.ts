import { computed, defineComponent, h, ref, type PropType, type VNodeChild } from "vue";
import { bodyText, isPlainText } from "../realtime/body";
import { linkify, type TextPart } from "../realtime/links";
import { cutAt, pieces } from "../realtime/strangers";

/** A body as text nodes and links, never as markup: whatever a stranger sends is shown, not run. */
export default defineComponent({
  name: "MessageText",
  props: { body: { type: null as unknown as PropType<unknown>, required: true } },
  setup(props) {
    const whole = ref(false);
    const text = computed(() => bodyText(props.body));
    const end = computed(() => (whole.value ? text.value.length : cutAt(text.value)));
    const parts = computed<TextPart[]>(() => {
      const shown = text.value.slice(0, end.value);
      return isPlainText(props.body) ? linkify(shown) : [{ text: shown, href: null }];
    });
    return () =>
      h(isPlainText(props.body) ? "p" : "code", { class: "text", dir: "auto" }, [
        ...parts.value.flatMap(shownPart),
        ...(end.value < text.value.length ? more(text.value.length, () => (whole.value = true)) : []),
      ]);
  },
});

function shownPart({ text, href, shown }: TextPart): VNodeChild[] {
  if (href !== null) return [h("a", { href, target: "_blank", rel: "noopener noreferrer" }, h("bdi", shown ?? text))];
  // A bdi of its own closes whatever such a character opens.
  return pieces(text).map(({ text, mark }) => (mark === null ? text : h("bdi", { class: "unseen", "data-mark": mark }, text)));
}

function more(length: number, onClick: () => void): VNodeChild[] {
  const words = `Show all ${length.toLocaleString()} characters`;
  return ["… ", h("button", { type: "button", class: "link", "data-testid": "more-button", onClick }, words)];
}
