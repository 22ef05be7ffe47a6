import { computed, defineComponent, h, type PropType } from "vue";
import { bodyText, isPlainText } from "../realtime/body";
import { linkify } from "../realtime/links";

/** A body as text nodes and links, never as markup: whatever a stranger sends is shown, not run. */
export default defineComponent({
  name: "MessageText",
  props: { body: { type: null as unknown as PropType<unknown>, required: true } },
  setup(props) {
    const parts = computed(() =>
      isPlainText(props.body) ? linkify(props.body) : [{ text: bodyText(props.body), href: null }],
    );
    return () =>
      h(
        isPlainText(props.body) ? "p" : "code",
        { class: "text", dir: "auto" },
        parts.value.map(({ text, href }) =>
          href === null
            ? text
            : h("a", { href, target: "_blank", rel: "noopener noreferrer" }, h("bdi", text)),
        ),
      );
  },
});
